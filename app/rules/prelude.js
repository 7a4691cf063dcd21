// What a rule finds around itself, and how the process that runs it steers it. Evaluated in a fresh context for every
// rule of every login; the value is `step(command, text)`, which takes and gives JSON text and which no rule can reach.
(() => {
  'use strict';
  const { parse, stringify } = JSON;
  const { create, keys, assign, defineProperty } = Object;
  const InternalError = globalThis.InternalError; // the engine's own: no memory left
  const clock = () => performance.now();
  const MOST_LINES = 100, MOST_CHARACTERS = 500, MOST_REQUESTS = 20, MOST_TIMERS = 1000, MOST_KEPT = 64 * 1024;
  const MOST_ANSWERED = 256 * 1024;

  let outcome = null, user, context, kept;
  let lines = [], requests = [], writes = [], timers = [], dropped = 0;
  const waiting = create(null);
  let numbers = 0, asked = 0, waits = 0;

  // --- how a rule ends -----------------------------------------------------------------------------------------------

  function told(error) {
    try {
      if (typeof error === 'object' && error !== null) {
        const message = error.message === undefined ? stringify(error) : String(error.message);
        return { name: String(error.name || 'Error').slice(0, 100), message: message.slice(0, 1000) };
      }
      return { name: 'Error', message: String(error).slice(0, 1000) };
    } catch (_) {
      return { name: 'Error', message: '' };
    }
  }

  const end = (kind, more) => { if (outcome === null) outcome = assign({ kind }, more); };

  function threw(error) {
    // Without memory the engine throws null where it cannot even make an error.
    if (error === null || error instanceof InternalError) return end('failed', { why: 'out_of_memory', message: '' });
    return end('threw', told(error));
  }

  function callback(error, newUser, newContext) {
    if (outcome !== null) return;
    if (error) return end('denied', told(error));
    for (const given of [newUser, newContext]) {
      if (given !== undefined && given !== null && typeof given !== 'object') {
        return end('failed', { why: 'bad_answer', message: 'callback(null, user, context) takes two objects' });
      }
    }
    if (newUser) user = newUser;
    if (newContext) context = newContext;
    end('passed');
  }

  // --- console and timers --------------------------------------------------------------------------------------------

  function shown(value) {
    if (typeof value === 'string') return value;
    if (value instanceof Error) return value.name + ': ' + value.message;
    try {
      const text = stringify(value);
      return text === undefined ? String(value) : text;
    } catch (_) {
      return '[object]';
    }
  }

  function print(...values) {
    if (lines.length >= MOST_LINES) {
      dropped += 1;
      return;
    }
    let line = '';
    for (const value of values) {
      line += (line ? ' ' : '') + shown(value).slice(0, MOST_CHARACTERS);
      if (line.length > MOST_CHARACTERS) break;
    }
    lines[lines.length] = line.slice(0, MOST_CHARACTERS);
  }

  function later(run, delay, values, every) {
    if (typeof run !== 'function') throw new TypeError('a timer needs a function');
    if (timers.length >= MOST_TIMERS) throw new RangeError('too many timers');
    const milliseconds = Math.max(1, Number(delay) || 1);
    const timer = { id: ++numbers, due: clock() + milliseconds, run, values, every: every ? milliseconds : 0 };
    timers[timers.length] = timer;
    return timer.id;
  }

  function forget(id) {
    timers = timers.filter((timer) => timer.id !== id);
  }

  function runTimers() {
    let ran = false;
    for (;;) {
      const now = clock();
      let next = null;
      for (const timer of timers) if (timer.due <= now && (next === null || timer.due < next.due)) next = timer;
      if (next === null || outcome !== null) return ran;
      if (next.every) next.due = now + next.every;
      else forget(next.id);
      ran = true;
      try {
        next.run(...next.values);
      } catch (error) {
        threw(error);
      }
      if (next.every) return ran;
    }
  }

  // --- requests: the context cannot reach a network, so it asks the server, which may or may not ----------------------

  function send(wanted) {
    return new Promise((resolve, reject) => {
      if (asked >= MOST_REQUESTS) return reject(new Error('too many requests in one rule'));
      asked += 1;
      waits += 1;
      const id = ++numbers;
      waiting[id] = { resolve, reject };
      requests[requests.length] = assign({ id }, wanted);
    });
  }

  function settle({ id, status, headers, body, error }) {
    const { resolve, reject } = waiting[id] || {};
    if (!resolve) return;
    delete waiting[id];
    waits -= 1;
    if (error) {
      const failure = new Error('the request failed: ' + error);
      failure.code = error;
      reject(failure);
    } else {
      resolve({ status, headers, body });
    }
  }

  // --- changes of metadata: written once the login has come to its end -------------------------------------------------

  function change(kind, id, patch, done) {
    let result;
    if (typeof patch !== 'object' || patch === null) {
      result = Promise.reject(new Error('metadata are an object'));
    } else {
      writes[writes.length] = { kind, user_id: String(id), patch: parse(stringify(patch)) };
      result = Promise.resolve(user);
    }
    if (typeof done === 'function') {
      result.then((value) => done(null, value), (error) => done(error)).catch(threw);
      return undefined;
    }
    return result;
  }

  class UnauthorizedError extends Error {
    constructor(message) {
      super(message);
      this.name = 'UnauthorizedError';
    }
  }

  // Without Intl a zone would be passed over in silence, and a rule about opening hours would be wrong by hours.
  for (const name of ['toLocaleString', 'toLocaleDateString', 'toLocaleTimeString']) {
    const plain = Date.prototype[name];
    defineProperty(Date.prototype, name, {
      configurable: true,
      writable: true,
      value: function (locale, options) {
        if (options && options.timeZone && options.timeZone !== 'UTC') {
          throw new RangeError('time zones other than UTC are not supported');
        }
        return plain.call(this, locale, options);
      },
    });
  }

  const console = create(null);
  for (const name of ['log', 'info', 'warn', 'error', 'debug', 'trace']) console[name] = print;

  const given = {
    console,
    UnauthorizedError,
    setTimeout: (run, delay, ...values) => later(run, delay, values, false),
    setInterval: (run, delay, ...values) => later(run, delay, values, true),
    setImmediate: (run, ...values) => later(run, 0, values, false),
    clearTimeout: forget,
    clearInterval: forget,
    clearImmediate: forget,
    auth0: {
      users: {
        updateAppMetadata: (id, patch, done) => change('app_metadata', id, patch, done),
        updateUserMetadata: (id, patch, done) => change('user_metadata', id, patch, done),
      },
    },
  };

  function start({ source, kind, secrets, configuration, global, random, seen, is_check }) {
    let rule;
    user = seen.user;
    context = seen.context;
    kept = create(globalThis);
    assign(kept, global);
    for (const name of keys(given)) globalThis[name] = given[name];
    globalThis.global = kept;
    globalThis.configuration = configuration;
    offerModules(random);
    if (kind === 'hook') return startHook(source, secrets, seen.args, is_check);
    if (kind === 'action') {
      const { factors, granted, ran } = seen;
      const shared = { parse, stringify, assign, end, threw, told, writes, kept, user, context, factors, granted, ran };
      return Function(...keys(shared), 'secrets', 'source', 'is_check', ACTIONS)(
        ...Object.values(shared), secrets, source, is_check,
      );
    }
    try {
      const module = { exports: {} };
      Function('module', 'exports', 'module.exports = ' + source + '\n')(module, module.exports);
      rule = module.exports;
      if (typeof rule !== 'function') throw new SyntaxError('a rule is one function');
    } catch (error) {
      return end('failed', { why: 'not_compiled', message: told(error).message });
    }
    if (is_check) return end('passed');
    try {
      const result = rule(user, context, callback);
      if (result && typeof result.then === 'function') result.then(() => {}, threw);
    } catch (error) {
      threw(error);
    }
  }

  // A hook is a module that exports a function, or the function alone; it answers with one object.
  function startHook(source, secrets, args, is_check) {
    const load = (text) => {
      const module = { exports: {} };
      Function('module', 'exports', text + '\n')(module, module.exports);
      return module.exports;
    };
    let hook;
    user = {};
    context = {};
    try {
      try {
        hook = load(source);
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error;
      }
      if (typeof hook !== 'function') hook = load('module.exports = ' + source);
      if (typeof hook !== 'function') throw new SyntaxError('a hook exports one function');
    } catch (error) {
      return end('failed', { why: 'not_compiled', message: told(error).message });
    }
    if (is_check) return end('passed');
    args[args.length - 1].webtask = { secrets };
    const answer = (error, value) => {
      if (outcome !== null) return;
      if (error) return end('denied', told(error));
      context = { answer: value };
      end('passed');
    };
    try {
      const result = hook(...args, answer);
      if (result && typeof result.then === 'function') result.then(() => {}, threw);
    } catch (error) {
      threw(error);
    }
  }

  function keep() {
    const found = create(null);
    let size = 0;
    for (const name of keys(kept)) {
      try {
        const text = stringify(kept[name]);
        if (text === undefined) continue;
        size += name.length + text.length;
        if (size > MOST_KEPT) break;
        found[name] = parse(text);
      } catch (_) {
        continue; // what is no plain value stays behind
      }
    }
    return found;
  }

  function finished() {
    const ended = assign({ lines, dropped, kept: keep() }, outcome);
    if (outcome.kind !== 'passed') return stringify(ended);
    let text;
    try {
      text = stringify(assign(ended, { user, context, writes }));
    } catch (error) {
      return stringify({ lines, dropped, kind: 'failed', why: 'bad_answer', message: told(error).message });
    }
    if (text.length > MOST_ANSWERED) return stringify({ lines, dropped, kind: 'failed', why: 'answer_too_large' });
    return text;
  }

  function look() {
    const ran = runTimers();
    const taken = requests;
    requests = [];
    let next = null;
    for (const timer of timers) if (next === null || timer.due < next) next = timer.due;
    const wait = next === null ? null : Math.max(0, next - clock());
    return stringify({ is_over: outcome !== null, requests: taken, waits, wait, ran });
  }

  // Most rules need none of these, and they take longer to read than the rest: they are made when first looked at.
  const MODULES = /*MODULES*/'';
  const ACTIONS = /*ACTIONS*/'';
  const MODULE_NAMES = ['require', 'fetch', 'Headers', 'Buffer', 'URL', 'URLSearchParams', 'process', 'request'];

  function offerModules(random) {
    const shared = { parse, stringify, create, keys, assign, defineProperty, shown, send, threw, random };
    const put = (name, value) => {
      defineProperty(globalThis, name, { value, writable: true, configurable: true });
      return value;
    };
    let made = null;
    for (const name of MODULE_NAMES) {
      defineProperty(globalThis, name, {
        configurable: true,
        get() {
          if (made === null) made = Function(...keys(shared), MODULES)(...Object.values(shared));
          return put(name, made[name]);
        },
        set: (value) => { put(name, value); },
      });
    }
  }

  const commands = {
    start: (text) => { start(parse(text)); return ''; },
    settle: (text) => { settle(parse(text)); return ''; },
    look,
    end: finished,
  };
  return (command, text) => commands[command](text);
})()
