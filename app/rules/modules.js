// The small table of `require`, and what Node has as globals beside it: the body of a function that the prelude calls
// when a rule first asks for one of them, with what it shares as parameters. Returns the globals.
  'use strict';
  const utf8 = {
    encode(text) {
      const escaped = encodeURIComponent(String(text).toWellFormed());
      const bytes = [];
      for (let at = 0; at < escaped.length; at += 1) {
        if (escaped[at] === '%') {
          bytes.push(parseInt(escaped.slice(at + 1, at + 3), 16));
          at += 2;
        } else {
          bytes.push(escaped.charCodeAt(at));
        }
      }
      return bytes;
    },
    decode(bytes) {
      let text = '';
      for (let at = 0; at < bytes.length;) {
        const first = bytes[at];
        const more = first < 0x80 ? 0 : first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc2 ? 1 : -1;
        let point = more < 1 ? first : first & (0x3f >> more);
        let is_good = more >= 0 && at + more < bytes.length;
        for (let next = 1; is_good && next <= more; next += 1) {
          is_good = (bytes[at + next] & 0xc0) === 0x80;
          point = (point << 6) | (bytes[at + next] & 0x3f);
        }
        is_good = is_good && point <= 0x10ffff && !(point >= 0xd800 && point < 0xe000);
        text += is_good ? String.fromCodePoint(point) : '\ufffd';
        at += is_good ? more + 1 : 1;
      }
      return text;
    },
  };

  const binary = (bytes) => {
    let text = '';
    for (const byte of bytes) text += String.fromCharCode(byte);
    return text;
  };
  const fromBinary = (text) => Array.from(text, (c) => c.charCodeAt(0) & 0xff);

  class Buffer extends Uint8Array {
    static from(value, encoding) {
      let bytes = value;
      if (typeof value === 'string') {
        const kind = String(encoding || 'utf8').toLowerCase();
        if (kind === 'hex') bytes = (value.match(/[0-9a-f]{2}/gi) || []).map((pair) => parseInt(pair, 16));
        else if (kind === 'base64' || kind === 'base64url') {
          const text = value.replace(/-/g, '+').replace(/_/g, '/').replace(/[^A-Za-z0-9+/]/g, '');
          bytes = fromBinary(atob(text + '==='.slice((text.length + 3) % 4)));
        } else if (kind === 'latin1' || kind === 'binary' || kind === 'ascii') bytes = fromBinary(value);
        else bytes = utf8.encode(value);
      }
      const made = new Buffer(bytes.length);
      made.set(bytes);
      return made;
    }
    static alloc(size) { return new Buffer(size); }
    static isBuffer(value) { return value instanceof Buffer; }
    static byteLength(text) { return utf8.encode(text).length; }
    static concat(parts) { return Buffer.from([].concat(...parts.map((part) => Array.from(part)))); }
    equals(other) { return this.length === other.length && this.every((byte, at) => byte === other[at]); }
    toJSON() { return { type: 'Buffer', data: Array.from(this) }; }
    toString(encoding) {
      const kind = String(encoding || 'utf8').toLowerCase();
      if (kind === 'hex') return Array.from(this, (byte) => byte.toString(16).padStart(2, '0')).join('');
      if (kind === 'base64') return btoa(binary(this));
      if (kind === 'base64url') return btoa(binary(this)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '');
      if (kind === 'latin1' || kind === 'binary' || kind === 'ascii') return binary(this);
      return utf8.decode(this);
    }
  }

  // --- digests: FIPS 180-4 and RFC 1321, RFC 2104 ---------------------------------------------------------------------

  const rotated = (word, by) => (word << by) | (word >>> (32 - by));

  function padded(bytes, is_big) {
    const size = bytes.length, whole = ((size + 8) >> 6) * 64 + 64;
    const block = new Uint8Array(whole);
    block.set(bytes);
    block[size] = 0x80;
    const view = new DataView(block.buffer);
    view.setUint32(whole - (is_big ? 4 : 8), size << 3, !is_big);
    view.setUint32(whole - (is_big ? 8 : 4), Math.floor(size / 0x20000000), !is_big);
    return view;
  }

  function wordsToBytes(words, is_big) {
    const view = new DataView(new ArrayBuffer(words.length * 4));
    words.forEach((word, at) => view.setUint32(at * 4, word, !is_big));
    return Array.from(new Uint8Array(view.buffer));
  }

  let primes = null;
  function roots() {
    if (primes) return primes;
    primes = { thirds: [], halves: [] };
    for (let n = 2; primes.thirds.length < 64; n += 1) {
      let is_prime = true;
      for (let by = 2; by * by <= n; by += 1) if (n % by === 0) is_prime = false;
      if (!is_prime) continue;
      primes.thirds.push((Math.cbrt(n) % 1) * 0x100000000 | 0);
      if (primes.halves.length < 8) primes.halves.push((Math.sqrt(n) % 1) * 0x100000000 | 0);
    }
    return primes;
  }

  function sha256(bytes) {
    const { thirds, halves } = roots(), state = halves.slice(), view = padded(bytes, true), w = new Int32Array(64);
    for (let at = 0; at < view.byteLength; at += 64) {
      for (let i = 0; i < 64; i += 1) {
        if (i < 16) { w[i] = view.getInt32(at + i * 4); continue; }
        const x = w[i - 15], y = w[i - 2];
        const s0 = rotated(x, 25) ^ rotated(x, 14) ^ (x >>> 3), s1 = rotated(y, 15) ^ rotated(y, 13) ^ (y >>> 10);
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
      }
      let [a, b, c, d, e, f, g, h] = state;
      for (let i = 0; i < 64; i += 1) {
        const s1 = rotated(e, 26) ^ rotated(e, 21) ^ rotated(e, 7);
        const t1 = (h + s1 + ((e & f) ^ (~e & g)) + thirds[i] + w[i]) | 0;
        const s0 = rotated(a, 30) ^ rotated(a, 19) ^ rotated(a, 10);
        const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
        [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + t2) | 0];
      }
      [a, b, c, d, e, f, g, h].forEach((word, i) => { state[i] = (state[i] + word) | 0; });
    }
    return wordsToBytes(state, true);
  }

  function sha1(bytes) {
    const state = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0], view = padded(bytes, true);
    const w = new Int32Array(80);
    for (let at = 0; at < view.byteLength; at += 64) {
      for (let i = 0; i < 80; i += 1) {
        w[i] = i < 16 ? view.getInt32(at + i * 4) : rotated(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
      }
      let [a, b, c, d, e] = state;
      for (let i = 0; i < 80; i += 1) {
        const f = i < 20 ? (b & c) | (~b & d) : i >= 40 && i < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
        const k = [0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6][Math.floor(i / 20)];
        [e, d, c, b, a] = [d, c, rotated(b, 30), a, (rotated(a, 5) + f + e + k + w[i]) | 0];
      }
      [a, b, c, d, e].forEach((word, i) => { state[i] = (state[i] + word) | 0; });
    }
    return wordsToBytes(state, true);
  }

  const MD5_TURNS = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
  function md5(bytes) {
    const state = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476], view = padded(bytes, false);
    for (let at = 0; at < view.byteLength; at += 64) {
      let [a, b, c, d] = state;
      for (let i = 0; i < 64; i += 1) {
        const round = i >> 4;
        const f = [(b & c) | (~b & d), (d & b) | (~d & c), b ^ c ^ d, c ^ (b | ~d)][round];
        const g = [i, 5 * i + 1, 3 * i + 5, 7 * i][round] & 15;
        const k = Math.floor(Math.abs(Math.sin(i + 1)) * 0x100000000) | 0;
        const sum = (a + f + k + view.getInt32(at + g * 4, true)) | 0;
        [a, d, c, b] = [d, c, b, (b + rotated(sum, MD5_TURNS[round][i & 3])) | 0];
      }
      [a, b, c, d].forEach((word, i) => { state[i] = (state[i] + word) | 0; });
    }
    return wordsToBytes(state, false);
  }

  const DIGESTS = { sha256, sha1, md5 };
  const bytesOf = (value, encoding) => Array.from(typeof value === 'string' ? Buffer.from(value, encoding) : value);

  function digester(name) {
    const found = DIGESTS[String(name).toLowerCase().replace('-', '')];
    if (!found) throw new Error('digest not supported: ' + name);
    return found;
  }

  function hashing(digest, finish) {
    const bytes = [];
    return {
      update(value, encoding) {
        for (const byte of bytesOf(value, encoding)) bytes.push(byte);
        return this;
      },
      digest(encoding) {
        const made = Buffer.from(finish ? finish(bytes) : digest(bytes));
        return encoding ? made.toString(encoding) : made;
      },
    };
  }

  function hmac(name, key) {
    const digest = digester(name);
    let block = bytesOf(key);
    if (block.length > 64) block = digest(block);
    while (block.length < 64) block.push(0);
    const inner = block.map((byte) => byte ^ 0x36), outer = block.map((byte) => byte ^ 0x5c);
    return hashing(digest, (bytes) => digest(outer.concat(digest(inner.concat(bytes)))));
  }

  function cryptography(random) {
    const pool = fromBinary(atob(random));
    const randomBytes = (size) => {
      if (size > pool.length) throw new RangeError('a rule has only so much randomness');
      return Buffer.from(pool.splice(0, size));
    };
    return {
      createHash: (name) => hashing(digester(name)),
      createHmac: hmac,
      randomBytes,
      randomUUID() {
        const bytes = randomBytes(16);
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
      },
      timingSafeEqual: (one, other) => Buffer.from(one).equals(other),
    };
  }

  // --- addresses -----------------------------------------------------------------------------------------------------

  const quoted = (text) => encodeURIComponent(text).replace(/[!'()~]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase());
  const plain = (text) => { try { return decodeURIComponent(text.replace(/\+/g, ' ')); } catch (_) { return text; } };
  const pairsOf = (text) => text.split('&').filter(Boolean).map((part) => {
    const at = part.indexOf('=');
    return at < 0 ? [plain(part), ''] : [plain(part.slice(0, at)), plain(part.slice(at + 1))];
  });
  const querystring = {
    escape: encodeURIComponent,
    unescape: plain,
    parse(text) {
      const found = create(null);
      for (const [name, value] of pairsOf(String(text || ''))) {
        found[name] = name in found ? [].concat(found[name], value) : value;
      }
      return assign({}, found);
    },
    stringify(members) {
      const parts = [];
      for (const name of keys(members || {})) {
        for (const value of [].concat(members[name])) {
          const text = ['string', 'number', 'boolean', 'bigint'].includes(typeof value) ? String(value) : '';
          parts.push(encodeURIComponent(name) + '=' + encodeURIComponent(text));
        }
      }
      return parts.join('&');
    },
  };

  class URLSearchParams {
    #pairs;
    constructor(given) {
      if (typeof given === 'string') this.#pairs = pairsOf(given.replace(/^\?/, ''));
      else if (given && typeof given[Symbol.iterator] === 'function') this.#pairs = Array.from(given, ([n, v]) => [n, String(v)]);
      else this.#pairs = Object.entries(given || {}).map(([n, v]) => [n, String(v)]);
    }
    get(name) { const found = this.#pairs.find(([n]) => n === name); return found ? found[1] : null; }
    getAll(name) { return this.#pairs.filter(([n]) => n === name).map(([, v]) => v); }
    has(name) { return this.#pairs.some(([n]) => n === name); }
    append(name, value) { this.#pairs.push([name, String(value)]); }
    delete(name) { this.#pairs = this.#pairs.filter(([n]) => n !== name); }
    set(name, value) {
      const at = this.#pairs.findIndex(([n]) => n === name);
      this.#pairs = this.#pairs.filter(([n], i) => n !== name || i === at);
      if (at < 0) this.append(name, value);
      else this.#pairs.find(([n]) => n === name)[1] = String(value);
    }
    forEach(run) { this.#pairs.forEach(([n, v]) => run(v, n, this)); }
    [Symbol.iterator]() { return this.#pairs[Symbol.iterator](); }
    toString() { return this.#pairs.map(([n, v]) => quoted(n).replace(/%20/g, '+') + '=' + quoted(v).replace(/%20/g, '+')).join('&'); }
  }

  const ADDRESS = /^([a-z][a-z0-9+.-]*:)\/\/(?:([^/?#@]*)@)?(\[[0-9a-f:.]+\]|[^/?#:@]*)(?::(\d+))?([^?#]*)(\?[^#]*)?(#.*)?$/i;
  class URL {
    constructor(text, base) {
      let found = ADDRESS.exec(String(text));
      if (!found && base !== undefined) {
        const root = new URL(base);
        const path = String(text).startsWith('/') ? String(text) : root.pathname.replace(/[^/]*$/, '') + text;
        found = ADDRESS.exec(root.origin + path);
      }
      if (!found) throw new TypeError('Invalid URL');
      this.protocol = found[1].toLowerCase();
      [this.username = '', this.password = ''] = (found[2] || '').split(':');
      this.hostname = found[3].toLowerCase();
      this.port = found[4] === { 'https:': '443', 'http:': '80' }[this.protocol] ? '' : found[4] || '';
      this.host = this.hostname + (this.port ? ':' + this.port : '');
      this.origin = this.protocol + '//' + this.host;
      this.pathname = found[5] || '/';
      this.hash = found[7] || '';
      this.searchParams = new URLSearchParams(found[6] || '');
      this.search = found[6] || '';
    }
    get href() {
      const search = this.searchParams.toString() && (this.search || '?' + this.searchParams);
      const secret = this.username ? this.username + (this.password ? ':' + this.password : '') + '@' : '';
      return this.protocol + '//' + secret + this.host + this.pathname + (search || '') + this.hash;
    }
    toString() { return this.href; }
    toJSON() { return this.href; }
  }

  const address = {
    URL,
    URLSearchParams,
    parse(text, wantsQuery) {
      const found = new URL(text);
      const query = found.search.slice(1);
      return {
        protocol: found.protocol, host: found.host, hostname: found.hostname, port: found.port || null,
        pathname: found.pathname, search: found.search || null, hash: found.hash || null, href: found.href,
        path: found.pathname + found.search, query: wantsQuery ? querystring.parse(query) : query || null,
      };
    },
  };

  // --- three ways in which rules ask other servers -------------------------------------------------------------------

  const lowered = (headers) => {
    const found = {};
    const entries = headers && typeof headers.forEach === 'function' && !Array.isArray(headers) ? [] : Object.entries(headers || {});
    if (headers && typeof headers.forEach === 'function' && !Array.isArray(headers)) headers.forEach((v, n) => entries.push([n, v]));
    for (const [name, value] of entries) if (value !== undefined) found[String(name).toLowerCase()] = String(value);
    return found;
  };

  class Headers {
    #found;
    constructor(given) { this.#found = lowered(given); }
    get(name) { const found = this.#found[String(name).toLowerCase()]; return found === undefined ? null : found; }
    has(name) { return this.get(name) !== null; }
    set(name, value) { this.#found[String(name).toLowerCase()] = String(value); }
    forEach(run) { for (const name of keys(this.#found)) run(this.#found[name], name, this); }
  }

  function bodyOf(body, headers) {
    if (body === undefined || body === null) return '';
    if (typeof body === 'string') return body;
    if (body instanceof URLSearchParams) {
      if (!headers['content-type']) headers['content-type'] = 'application/x-www-form-urlencoded;charset=UTF-8';
      return body.toString();
    }
    if (body instanceof Uint8Array) return utf8.decode(body);
    throw new TypeError('a body is a text');
  }

  function fetching(send) {
    return async (target, options = {}) => {
      const headers = lowered(options.headers);
      const body = bodyOf(options.body, headers);
      const method = String(options.method || 'GET').toUpperCase();
      const found = await send({ method, url: String(target), headers, body });
      return {
        ok: found.status >= 200 && found.status < 300, status: found.status, statusText: '', url: String(target),
        redirected: false, headers: new Headers(found.headers),
        text: async () => found.body, json: async () => parse(found.body),
        arrayBuffer: async () => Buffer.from(found.body).buffer,
      };
    };
  }

  function requesting(send, threw) {
    const request = (target, options, done) => {
      if (typeof options === 'function') [options, done] = [undefined, options];
      const wanted = assign({}, typeof target === 'string' ? { url: target } : target, options);
      const headers = lowered(wanted.headers);
      let url = String(wanted.url || wanted.uri || ''), body = wanted.body;
      if (wanted.baseUrl) url = wanted.baseUrl + url;
      if (wanted.qs) url += (url.includes('?') ? '&' : '?') + querystring.stringify(wanted.qs);
      if (wanted.form) {
        body = typeof wanted.form === 'string' ? wanted.form : querystring.stringify(wanted.form);
        headers['content-type'] = headers['content-type'] || 'application/x-www-form-urlencoded';
      } else if (wanted.json && wanted.json !== true) body = wanted.json;
      if (wanted.json) {
        headers.accept = headers.accept || 'application/json';
        if (body !== undefined && (typeof body !== 'string' || wanted.json !== true)) {
          headers['content-type'] = headers['content-type'] || 'application/json';
          body = stringify(body);
        }
      }
      const auth = wanted.auth;
      if (auth && auth.bearer) headers.authorization = 'Bearer ' + auth.bearer;
      else if (auth) {
        const pair = (auth.user || auth.username || '') + ':' + (auth.pass || auth.password || '');
        headers.authorization = 'Basic ' + Buffer.from(pair).toString('base64');
      }
      const call = done || wanted.callback || (() => {});
      const asked = send({ method: String(wanted.method || 'GET').toUpperCase(), url, headers, body: bodyOf(body, headers) });
      asked.then((found) => {
        let content = found.body;
        if (wanted.json) try { content = parse(content); } catch (_) { /* as it came */ }
        call(null, { statusCode: found.status, headers: found.headers, body: content }, content);
      }, (error) => call(error)).catch(threw);
    };
    for (const method of ['get', 'post', 'put', 'patch', 'delete', 'head']) {
      request[method === 'delete' ? 'del' : method] = request[method] = (target, options, done) => {
        if (typeof options === 'function') [options, done] = [undefined, options];
        const wanted = typeof target === 'string' ? assign({ url: target }, options) : target;
        return request(assign({}, wanted, { method }), done);
      };
    }
    return request;
  }

  function asking(send, defaults = {}) {
    const ask = async (given) => {
      const wanted = assign({}, defaults, given);
      const headers = assign(lowered(defaults.headers), lowered(given.headers));
      let url = String(wanted.url || ''), body = wanted.data;
      if (wanted.baseURL) url = wanted.baseURL.replace(/\/+$/, '') + '/' + url.replace(/^\/+/, '');
      if (wanted.params) url += (url.includes('?') ? '&' : '?') + querystring.stringify(wanted.params);
      if (wanted.auth) {
        headers.authorization = 'Basic ' + Buffer.from(wanted.auth.username + ':' + wanted.auth.password).toString('base64');
      }
      if (body !== undefined && body !== null && typeof body === 'object' && !(body instanceof URLSearchParams)) {
        headers['content-type'] = headers['content-type'] || 'application/json';
        body = stringify(body);
      }
      headers.accept = headers.accept || 'application/json, text/plain, */*';
      const method = String(wanted.method || 'get').toUpperCase();
      const found = await send({ method, url, headers, body: bodyOf(body, headers) });
      let data = found.body;
      try { data = parse(data); } catch (_) { /* as it came */ }
      const response = { data, status: found.status, statusText: '', headers: found.headers, config: wanted };
      const is_good = wanted.validateStatus ? wanted.validateStatus(found.status) : found.status >= 200 && found.status < 300;
      if (is_good) return response;
      const error = new Error('Request failed with status code ' + found.status);
      throw assign(error, { name: 'AxiosError', isAxiosError: true, response, config: wanted });
    };
    const axios = (target, options) => ask(typeof target === 'string' ? assign({ url: target }, options) : target);
    axios.request = axios;
    axios.create = (more) => asking(send, assign({}, defaults, more));
    for (const method of ['get', 'delete', 'head']) axios[method] = (url, options) => ask(assign({}, options, { method, url }));
    for (const method of ['post', 'put', 'patch']) {
      axios[method] = (url, data, options) => ask(assign({}, options, { method, url, data }));
    }
    axios.isAxiosError = (error) => Boolean(error && error.isAxiosError);
    axios.default = axios;
    return axios;
  }

  // --- the table -----------------------------------------------------------------------------------------------------

  const made = create(null);
  const fetch = fetching(send);
  const table = {
    crypto: () => cryptography(random),
    buffer: () => ({ Buffer }),
    querystring: () => querystring,
    qs: () => querystring,
    url: () => address,
    request: () => requesting(send, threw),
    axios: () => asking(send),
    'node-fetch': () => assign(fetch, { default: fetch, Headers }),
    util: () => ({
      promisify: (run) => (...values) => new Promise((resolve, reject) => {
        run(...values, (error, value) => (error ? reject(error) : resolve(value)));
      }),
      format: (...values) => values.map(shown).join(' '),
      inspect: shown,
    }),
    uuid: () => ({ v4: () => require('crypto').randomUUID() }),
  };

  function require(name) {
    const known = String(name).replace(/^node:/, '').replace(/(?!^)@.*$/, '');
    if (!Object.hasOwn(table, known)) {
      throw assign(new Error("Cannot find module '" + name + "'"), { code: 'MODULE_NOT_FOUND' });
    }
    made[known] = made[known] || table[known]();
    return made[known];
  }

  const guarded = (run) => (...values) => { try { run(...values); } catch (error) { threw(error); } };
  const process = {
    env: {},
    version: 'v22.0.0',
    nextTick: (run, ...values) => queueMicrotask(() => guarded(run)(...values)),
  };
  return { require, fetch, Headers, Buffer, URL, URLSearchParams, process, request: table.request() };
