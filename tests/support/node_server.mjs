// The server of node_server.hpp, where the paths are described. Only what Node.js brings along.
//
//   node node_server.mjs [<certificate> <key>]
//
// Listens on ports that the kernel chooses and prints them as one line of JSON.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import zlib from 'node:zlib';

const connections = { opened: 0, open: 0 };
const unasked = { said: 0 };
const proxied = [];
const refused = new Set();
const requestsOn = new WeakMap(); // by socket

async function bodyOf(request) {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces).toString('utf8');
}

function pairsOf(rawHeaders) {
  const pairs = [];
  for (let i = 0; i < rawHeaders.length; i += 2) pairs.push([rawHeaders[i].toLowerCase(), rawHeaders[i + 1]]);
  return pairs;
}

function text(response, content, headers = {}) {
  response.writeHead(200, { 'content-type': 'text/plain', ...headers });
  response.end(content);
}

function json(response, content) {
  text(response, JSON.stringify(content), { 'content-type': 'application/json' });
}

const paths = {
  '/plain': (request, response) => text(response, 'node'),

  '/echo': async (request, response) => json(response, {
    method: request.method,
    target: request.url,
    version: request.httpVersion,
    continued: request.continued === true,
    headers: pairsOf(request.rawHeaders),
    body: await bodyOf(request),
  }),

  '/chunked': (request, response) => {
    response.writeHead(200, { 'content-type': 'text/plain', trailer: 'x-sum, set-cookie' });
    for (const piece of ['one,', 'two,', 'three']) response.write(piece);
    response.addTrailers({ 'x-sum': '42', 'set-cookie': 'late=1' });
    response.end();
  },

  '/early_hints': (request, response) => {
    for (const hint of ['first', 'second'])
      response.writeEarlyHints({ link: '</style.css>; rel=preload; as=style', 'x-hint': hint });
    text(response, 'final', { 'x-final': 'yes' });
  },

  '/processing': (request, response) => {
    response.writeProcessing();
    text(response, 'processed');
  },

  '/set_cookies': (request, response) => {
    response.setHeader('set-cookie', ['a=1; Path=/', 'b=2; Expires=Wed, 21 Oct 2122 07:28:00 GMT', 'c="x, y"']);
    text(response, 'cookies');
  },

  '/gzip': (request, response) => text(response, zlib.gzipSync('compressible'.repeat(1000)), { 'content-encoding': 'gzip' }),
  '/br': (request, response) => text(response, zlib.brotliCompressSync('compressible'.repeat(1000)), { 'content-encoding': 'br' }),

  '/close_behind': (request, response) => {
    const { socket } = request;
    response.once('finish', () => socket.end());
    text(response, 'closed behind');
  },
  '/close_on_reuse': (request, response) =>
    requestsOn.get(request.socket) > 1 ? request.socket.destroy() : text(response, 'first'),
  '/reset_on_reuse': (request, response) =>
    requestsOn.get(request.socket) > 1 ? request.socket.resetAndDestroy() : text(response, 'first'),

  '/refuse_first': (request, response, parameters) => {
    const key = parameters.get('key');
    if (refused.has(key)) return text(response, 'accepted');
    refused.add(key);
    response.stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
  },
  '/stream_error': (request, response) => response.stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR),
  '/goaway': (request, response) => {
    const { session } = response.stream;
    text(response, 'the last one');
    session.close();
  },

  '/raw': (request, response, parameters) => request.socket.end(parameters.get('answer')),

  '/talk_behind': (request, response, parameters) => {
    const { socket } = request; // which the response gives up when it ends
    response.on('finish', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong', () => { unasked.said += 1; }));
    text(response, parameters.get('answer'));
  },
  '/unasked': (request, response) => json(response, unasked),

  '/connections': (request, response) => json(response, connections),
  '/proxied': (request, response) => json(response, proxied),
};

async function answer(request, response) {
  requestsOn.set(request.socket, (requestsOn.get(request.socket) ?? 0) + 1);
  const target = new URL(request.url, 'http://node');
  const handler = paths[target.pathname];
  if (handler) return handler(request, response, target.searchParams);
  response.writeHead(404);
  response.end();
}

function counted(server) {
  server.on(server instanceof http.Server ? 'connection' : 'secureConnection', (socket) => {
    connections.opened += 1;
    connections.open += 1;
    socket.on('close', () => { connections.open -= 1; });
    socket.on('error', () => {}); // a client may leave as it likes
  });
  server.on('checkContinue', (request, response) => {
    request.continued = true;
    response.writeContinue();
    answer(request, response);
  });
  return server;
}

// A forward proxy (RFC 9110, 7.3.2 and 9.3.6). With `credentials` it wants them as Basic authentication.
function makeProxy(credentials) {
  const wanted = credentials && `Basic ${Buffer.from(credentials).toString('base64')}`;
  const challenge = { 'proxy-authenticate': 'Basic realm="test"' };
  const allows = (request) => {
    const authorization = request.headers['proxy-authorization'] ?? null;
    proxied.push({ method: request.method, target: request.url, authorization });
    return !wanted || authorization === wanted;
  };

  const proxy = http.createServer((request, response) => {
    if (!allows(request)) return response.writeHead(407, challenge).end();
    if (!request.url.startsWith('http://')) return response.writeHead(400).end();
    const { 'proxy-authorization': ours, 'proxy-connection': connection, ...headers } = request.headers;
    const onward = http.request(request.url, { method: request.method, headers }, (received) => {
      response.writeHead(received.statusCode, received.rawHeaders);
      received.pipe(response);
    });
    onward.on('error', () => response.headersSent ? response.destroy() : response.writeHead(502).end());
    return request.pipe(onward);
  });

  proxy.on('connect', (request, client, head) => {
    client.on('error', () => {});
    if (!allows(request))
      return client.end(`HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: ${challenge['proxy-authenticate']}\r\ncontent-length: 0\r\n\r\n`);
    const { hostname, port } = new URL(`http://${request.url}`);
    const server = net.connect({ host: hostname, port: Number(port || 80) });
    server.on('connect', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      server.write(head);
      server.pipe(client);
      client.pipe(server);
    });
    server.on('error', () => client.end('HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n'));
    client.on('close', () => server.destroy());
    return undefined;
  });
  return proxy;
}

const servers = {
  http: counted(http.createServer(answer)),
  proxy: makeProxy(),
  auth_proxy: makeProxy('dormouse:acorn'),
};
const [certificate, key] = process.argv.slice(2);
if (certificate) {
  const identity = { cert: readFileSync(certificate), key: readFileSync(key) };
  servers.https = counted(http2.createSecureServer({ ...identity, allowHTTP1: true }, answer));
  servers.https1 = counted(https.createServer(identity, answer));
}

const ports = {};
for (const [name, server] of Object.entries(servers)) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ports[name] = server.address().port;
}
console.log(JSON.stringify(ports));
