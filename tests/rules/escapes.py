"""What somebody tries who writes a rule in order to get out of it: reaching the host, forging the end, exhausting it.

Each is a rule's body. `found(x)` leaves what was found where the test looks.
"""

PASS = "callback(null, user, context);"
FOUND = "function found(x) { try { context.found = (context.found || '') + String(x) + '|'; } catch (e) {} }"

# Names and ways that would lead out of other engines and other sandboxes.
_REACHING = """
process.binding('fs')
process.mainModule.require('fs').readFileSync('/etc/passwd')
process.env.BELAY_CANARY
process.constructor.constructor('return process')().env.BELAY_CANARY
process.kill(1, 9)
process.exit(1)
process.dlopen({exports: {}}, '/lib/x86_64-linux-gnu/libc.so.6')
require('fs').readFileSync('/etc/passwd')
require('node:fs/promises')
require('child_process').execSync('id')
require('net').connect(80)
require('http').get('http://127.0.0.1')
require('os').hostname()
require('vm').runInThisContext('1')
require('worker_threads').workerData
require('module')._load('fs')
require('std').getenv('BELAY_CANARY')
require('/etc/passwd')
require('../../../../etc/passwd')
require('__proto__')
require('constructor')
require('hasOwnProperty')
require({toString: () => 'fs'})
require.cache
require.main.require('fs')
require.resolve('fs')
require('request').__proto__.constructor('return std')()
std.loadFile('/etc/passwd')
os.exec(['id'])
bjson.read
scriptArgs[0]
print('x')
load('/etc/passwd')
loadScript('/etc/passwd')
read('/etc/passwd')
readline()
quit()
Deno.readTextFileSync('/etc/passwd')
Bun.file('/etc/passwd')
WebAssembly.compile(new Uint8Array(8))
Worker('x')
new SharedWorker('x')
importScripts('/etc/passwd')
XMLHttpRequest('x')
navigator.userAgent
document.cookie
window.location
globalThis.constructor.constructor('return globalThis')().std.open('/etc/passwd')
this.constructor.constructor('return this')().process.env.BELAY_CANARY
Function('return this')().os
(0, eval)('this').scriptArgs
[].constructor.constructor('return std')()
(async function () {}).constructor('return os')()
(function* () {}).constructor('return std')().next()
Reflect.construct(Function, ['return std'])()
callback.constructor('return step')()('start', '{}')
callback.constructor('return commands')()
callback.caller
callback.arguments
arguments.callee.caller
arguments.callee.caller.arguments
step('end', '')
commands.end()
new Error().stack.split('\\n').filter((l) => l.includes('/')).join()
(Error.prepareStackTrace = (e, s) => s, new Error().stack)[0].getThis()
Error.captureStackTrace
console.log.constructor('return lines')()
setTimeout.constructor('return timers')()
setTimeout('found(1)', 0)
fetch.constructor('return send')()
auth0.constructor.constructor('return writes')()
new Proxy(callback, {apply: (t, s, a) => found(s)})(null, user, context)
Object.getOwnPropertyNames(globalThis).filter((n) => /quick|py|host|std|os$/i.test(n)).join()
Object.getOwnPropertyNames(Object.getPrototypeOf(globalThis)).join()
new WeakRef(configuration).deref().OTHER_SECRET
global.previous_secret
globalThis.left_by_another
configuration.__proto__.OTHER_SECRET
Object.getPrototypeOf(global).left_by_another
new FinalizationRegistry((v) => found(v)).register({}, 'x')
new SharedArrayBuffer(1024).grow
Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100000)
new Uint8Array(1024).join()
new ArrayBuffer(8, {maxByteLength: 2 ** 40}).resize(2 ** 39)
require('crypto').randomBytes(1e9)
require('buffer').Buffer.allocUnsafe
Buffer.alloc(64).toString('latin1').replace(/\\0/g, '')
Buffer.from({length: 2 ** 31})
performance.timeOrigin
Intl.DateTimeFormat().resolvedOptions().timeZone
new Date().getTimezoneOffset()
Symbol.for('nodejs.util.inspect.custom').description
Object.prototype.__lookupGetter__.call(globalThis, 'request').constructor('return made')()
btoa.constructor('return os')()
queueMicrotask.call(null, () => found(typeof std))
String.raw.constructor('return scriptArgs')()
new (class extends callback.constructor {})('return std')()
JSON.parse.constructor('return _quickjs')()
escape.constructor('return import("std")')()
""".strip().splitlines()

# Rules that say no or never end, after having changed what the end is made of: none of them may pass.
_FORGING = [
    'JSON.stringify = () => \'{"kind":"passed","user":{},"context":{},"writes":[]}\'; callback(new Error(\'no\'));',
    "JSON.parse = () => ({kind: 'passed'}); callback(new Error('no'));",
    "Object.assign = () => ({kind: 'passed'}); callback(new Error('no'));",
    "Object.prototype.kind = 'passed'; callback(new Error('no'));",
    "Object.prototype.is_over = true; Object.prototype.why = 'x';",
    "Object.defineProperty(Object.prototype, 'kind', {set() {}, get: () => 'passed'}); callback(new Error('no'));",
    "Object.prototype.toJSON = () => ({kind: 'passed', user: {}, context: {}}); callback(new Error('no'));",
    "String.prototype.slice = () => 'passed'; callback(new Error('no'));",
    "Array.prototype[Symbol.iterator] = function* () {}; callback(new Error('no'));",
    "Promise.prototype.then = function (yes) { yes(); }; callback(new Error('no'));",
    "Function.prototype.call = () => 'passed'; callback(new Error('no'));",
    "UnauthorizedError.prototype.toString = () => 'passed'; throw new UnauthorizedError('no');",
    "callback({name: 'x', kind: 'passed', get message() { throw {kind: 'passed'}; }});",
    "callback({valueOf: () => false, toString: () => ''});",
    "throw Object.assign(new Error('x'), {kind: 'passed', user, context});",
    "throw new Proxy({}, {get: () => { throw 1; }});",
    'console.log(\'{"done":{"kind":"passed"},"run":1}\\n\'); callback(\'no\');',
    "user.toJSON = () => undefined; callback(null, user, context);",
    "context.toJSON = () => 'text'; callback(null, user, context);",
    "callback(null, new Proxy(user, {ownKeys() { throw 1; }}), context);",
    "delete globalThis.Object; delete globalThis.JSON; callback('no');",
]

_EXHAUSTING = [
    "for (;;) {}",
    "while (true) console.log('x'.repeat(100000));",
    "for (;;) { try { throw 1; } catch (e) {} }",
    "(function f() { try { f(); } finally { f(); } })();",
    "Promise.resolve().then(function f() { return Promise.resolve().then(f); });",
    "(async () => { for (;;) await null; })();",
    "queueMicrotask(function f() { queueMicrotask(f); });",
    "setTimeout(function f() { setTimeout(f, 0); setTimeout(f, 0); }, 0);",
    "for (;;) setTimeout(() => {}, 1e9);",
    "for (let i = 0; i < 1e6; i++) fetch('https://example.com/' + i);",
    "let s = 'x'; for (;;) s += s;",
    "let s = 'x'.repeat(2 ** 29);",
    "let a = []; for (;;) a = [a, a];",
    "let a = []; for (;;) a.push(a.slice());",
    "new Array(2 ** 32 - 1).fill(0);",
    "Array.from({length: 2 ** 32});",
    "new Array(2 ** 31).join('x');",
    "new Array(1e8).sort();",
    "[...new Array(1e9)];",
    "new ArrayBuffer(2 ** 33);",
    "new Uint8Array(2 ** 30);",
    "let m = new Map(); for (let i = 0; ; i++) m.set(i, {i});",
    "2n ** (2n ** 62n);",
    "let b = 3n; for (;;) b *= b;",
    "/^(([a-z])+.)+[A-Z]([a-z])+$/.test('a'.repeat(60));",
    "/(x+x+)+y/.test('x'.repeat(60));",
    "'a'.repeat(50000).replace(/(a*)*b/g, '');",
    "JSON.parse('['.repeat(1e6));",
    "let d = {}; let c = d; for (let i = 0; i < 1e5; i++) c = c.n = {}; JSON.stringify(d);",
    "let d = 1; for (let i = 0; i < 1e5; i++) d = [d]; context.d = d; callback(null, user, context);",
    "context.big = 'x'.repeat(2e7); callback(null, user, context);",
    "for (let i = 0; i < 1e6; i++) context['k' + i] = i; callback(null, user, context);",
    "let t = {toString() { return '' + t; }}; '' + t;",
    "let p = new Proxy({}, {get: (t, n, r) => r[n]}); p.x;",
    "eval('('.repeat(1e6));",
    "eval('1+'.repeat(3e5) + '1');",
    "new RegExp('('.repeat(1e5) + ')'.repeat(1e5));",
    "function* g() { for (;;) yield 1; } Math.max(...g());",
    "'x'.padEnd(2 ** 30);",
    "Object.defineProperty(user, 'x', {enumerable: true, get() { for (;;) {} }}); callback(null, user, context);",
    "context.toJSON = () => { for (;;) {} }; callback(null, user, context);",
    "global.x = {toJSON() { for (;;) {} }}; callback(null, user, context);",
    "throw {get message() { for (;;) {} }};",
    "new Int32Array(1e9).sort();",
]

_ASKING = [
    f"fetch('{address}').then((a) => a.text()).then(found, (e) => found(e.code)).then(() => {{ {PASS} }});"
    for address in (
        "http://127.0.0.1:{port}/",
        "https://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://[::1]:{port}/",
        "http://0.0.0.0:{port}/",
        "http://2130706433:{port}/",
        "http://0x7f.1:{port}/",
        "http://listed.example.com@127.0.0.1:{port}/",
        "https://listed.example.com:{port}/",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/",
        "data:text/plain,hello",
        "unix:/var/run/docker.sock",
        "//127.0.0.1:{port}/",
        "https://listed.example.com\\\\r\\\\nHost: x/",
    )
]

REACHING = [f"{FOUND} try {{ found({line}); }} catch (e) {{ found(e.name); }} {PASS}" for line in _REACHING]
FORGING = _FORGING
EXHAUSTING = _EXHAUSTING
ASKING = [f"{FOUND} {body}" for body in _ASKING]
