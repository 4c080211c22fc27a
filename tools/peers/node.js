// The peer of 2017: Node's https asks for a certificate, takes any, and the application looks it up.
//
//     node node.js DIRECTORY PORT NAME...
//
// DIRECTORY holds server.crt and server.key, and NAME.crt of each client. One line of JSON for each
// request goes to standard output, which the benchmark makes a file: there Node writes at once, and that
// costs it less than a stream whose writes go through its thread pool.
'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');
const https = require('node:https');
const path = require('node:path');

const [directory, port, ...names] = process.argv.slice(2);
const read = (name) => fs.readFileSync(path.join(directory, name));

const enrolled = new Map();
for (const name of names) {
  const certificate = new crypto.X509Certificate(read(`${name}.crt`));
  enrolled.set(certificate.fingerprint256, { name, raw: certificate.raw });
}

const server = https.createServer(
  { cert: read('server.crt'), key: read('server.key'), requestCert: true, rejectUnauthorized: false },
  (request, response) => {
    const { socket } = request;
    const certificate = socket.getPeerCertificate();
    const client = enrolled.get(certificate.fingerprint256);
    const isKnown = client !== undefined && client.raw.equals(certificate.raw);
    const id = crypto.randomUUID();
    const body = JSON.stringify(isKnown ? { client: client.name, request_id: id } : { request_id: id });

    response.statusCode = isKnown ? 200 : 403;
    response.setHeader('content-type', 'application/json');
    response.setHeader('content-length', Buffer.byteLength(body));
    response.end(body);

    process.stdout.write(
      `${JSON.stringify({
        time: new Date().toISOString(),
        event: 'request',
        request_id: id,
        status: response.statusCode,
        client: isKnown ? client.name : null,
        fingerprint: certificate.fingerprint256,
        method: request.method,
        path: request.url,
        peer_address: socket.remoteAddress,
        peer_port: socket.remotePort,
      })}\n`,
    );
  },
);
// Between two requests of one connection a benchmark may look elsewhere; Node's default is five seconds.
server.keepAliveTimeout = 600_000;
server.listen(Number(port), '127.0.0.1');
