// A page in headless Chromium, and the server on this machine that it talks to.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';

const names = ['chromium-headless-shell', 'chromium', 'google-chrome'];

export function find_chromium() {
  for (const name of names) {
    for (const folder of process.env.PATH.split(path.delimiter)) {
      if (fs.existsSync(path.join(folder, name))) return path.join(folder, name);
    }
  }
  throw new Error(`none of ${names.join(', ')} is on the PATH: run tools/setup.sh clients`);
}

const types = {
  '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.json': 'application/json',
  '.wasm': 'application/wasm',
};

// Serves files: `places` has the file of a path, or the folder of all paths that start with one. What is posted to
// /report goes to `on_report`. `sent` gets the paths of the files that the page asked for.
function make_server(places, sent, on_report) {
  return http.createServer((request, response) => {
    const url = decodeURIComponent(request.url);
    if (request.method === 'POST') {
      const parts = [];
      request.on('data', (part) => parts.push(part));
      request.on('end', () => {
        response.end();
        on_report(JSON.parse(Buffer.concat(parts)));
      });
      return;
    }
    const place = Object.keys(places).find((start) => url === start || (start.length > 1 && url.startsWith(start)));
    const file = place && path.join(places[place], url.slice(place.length));
    const stat = file && !url.includes('..') && fs.statSync(file, { throwIfNoEntry: false });
    if (!stat?.isFile()) {
      response.writeHead(404).end();
      return;
    }
    sent.add(url);
    response.writeHead(200, {
      'Content-Type': types[path.extname(file)] ?? 'application/octet-stream', 'Content-Length': stat.size,
    });
    if (request.method === 'HEAD') response.end();
    else fs.createReadStream(file).pipe(response);
  });
}

export const flags = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--enable-logging=stderr',
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',  // whatever is not on this machine fails
  '--remote-debugging-pipe',  // the browser ends with the pipe, also when this process is killed
  '--js-flags=--liftoff-only',  // else V8 optimizes ONNX Runtime: 7.4 s of processor time, not 2.2 s
];

// Opens the page that `places` has as '/'. Returns what it posts, and the paths of the files that it got. `profile`: a
// folder that does not exist.
export async function run_page(places, profile, seconds = 120) {
  const program = find_chromium();
  let on_report;
  const report = new Promise((resolve) => { on_report = resolve; });
  const sent = new Set();
  const server = make_server(places, sent, on_report);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const browser = spawn(program, [...flags, `--user-data-dir=${profile}`, `http://127.0.0.1:${server.address().port}/`],
    { stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'], detached: true });
  let log = '';
  browser.stderr.on('data', (text) => { log = (log + text).slice(-4000); });
  browser.stdio[3].on('error', () => {});
  browser.stdio[4].resume();
  const closed = once(browser, 'close');
  let timer;
  const timeout = new Promise((resolve) => { timer = setTimeout(resolve, seconds * 1000); });
  try {
    const result = await Promise.race([
      report, closed.then(() => ({ error: 'the browser ended' })),
      timeout.then(() => ({ error: `no results after ${seconds} s` })),
    ]);
    if (result.error) throw new Error(`${result.error}\nfrom the log of ${program}:\n${log}`);
    return { ...result, sent };
  } finally {
    clearTimeout(timer);
    browser.stdio[3].destroy();
    browser.stdio[4].destroy();
    const kill = setTimeout(() => process.kill(-browser.pid, 'SIGKILL'), 5000);
    await closed;
    clearTimeout(kill);
    server.closeAllConnections();
    server.close();
    fs.rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
