// Drives a page in headless Chromium through the DevTools protocol, over the pipe.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';

import { find_chromium, flags } from '../transformers_js/chromium.mjs';

// Opens a browser with one empty page. `profile`: a folder that does not exist.
export async function open_browser(profile) {
  const browser = spawn(find_chromium(), [...flags, `--user-data-dir=${profile}`, 'about:blank'],
    { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'], detached: true });
  const closed = once(browser, 'close');
  const waiting = new Map();
  const listeners = [];
  let next = 0;
  let rest = '';
  browser.stdio[3].on('error', () => {});
  browser.stdio[4].setEncoding('utf8');
  browser.stdio[4].on('data', (text) => {
    const parts = (rest + text).split('\0');
    rest = parts.pop();
    for (const part of parts) {
      const message = JSON.parse(part);
      if (message.id === undefined) {
        for (const listener of listeners) listener(message);
        continue;
      }
      const { resolve, reject, method } = waiting.get(message.id);
      waiting.delete(message.id);
      if (message.error) reject(new Error(`${method}: ${message.error.message}`));
      else resolve(message.result);
    }
  });
  closed.then(() => waiting.forEach(({ reject, method }) => reject(new Error(`${method}: the browser ended`))));
  const call = (method, params = {}, sessionId = undefined) => new Promise((resolve, reject) => {
    next += 1;
    waiting.set(next, { resolve, reject, method });
    browser.stdio[3].write(`${JSON.stringify({ id: next, method, params, sessionId })}\0`);
  });
  const { targetInfos } = await call('Target.getTargets');
  const { targetId } = targetInfos.find((one) => one.type === 'page');
  const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true });
  const send = (method, params) => call(method, params, sessionId);

  const requests = [];  // of everything that the page asks for
  const errors = [];    // exceptions, and errors in the log
  listeners.push(({ method, params }) => {
    if (method === 'Network.requestWillBeSent') requests.push(params.request.url);
    if (method === 'Runtime.exceptionThrown') {
      const { exception, text } = params.exceptionDetails;
      errors.push(exception?.description ?? text);
    }
    if (method === 'Log.entryAdded' && params.entry.level === 'error') errors.push(params.entry.text);
  });
  for (const domain of ['Page', 'Network', 'Runtime', 'Log']) await send(`${domain}.enable`);

  return {
    send, requests, errors,
    async load(url) {
      requests.length = 0;
      errors.length = 0;
      const loaded = new Promise((resolve) => {
        listeners.push(({ method }) => { if (method === 'Page.loadEventFired') resolve(); });
      });
      const { errorText } = await send('Page.navigate', { url });
      if (errorText) throw new Error(`${url}: ${errorText}`);
      await loaded;
    },
    // The value of an expression in the page; waits for promises.
    async run(expression) {
      const { result, exceptionDetails } = await send('Runtime.evaluate',
        { expression, awaitPromise: true, returnByValue: true });
      if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
      return result.value;
    },
    async press(key, { shift = false } = {}) {
      const codes = { Tab: 9, Enter: 13, ArrowLeft: 37, ArrowUp: 38, ArrowRight: 39, ArrowDown: 40 };
      const event = { key, code: key, windowsVirtualKeyCode: codes[key], modifiers: shift ? 8 : 0 };
      await send('Input.dispatchKeyEvent', { type: 'keyDown', ...event, ...(key === 'Enter' ? { text: '\r' } : {}) });
      await send('Input.dispatchKeyEvent', { type: 'keyUp', ...event });
    },
    async look({ width, height = 900, dark = false, media = 'screen' }) {
      await send('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: 1, mobile: width < 500 });
      await send('Emulation.setEmulatedMedia',
        { media, features: [{ name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' }] });
      await this.settle();
    },
    // Two frames, so that layout and its observers are done.
    settle() {
      return this.run(`new Promise((done) =>
        requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 0))))`);
    },
    async screenshot(file) {
      const { data } = await send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true });
      fs.writeFileSync(file, Buffer.from(data, 'base64'));
    },
    async close() {
      browser.stdio[3].destroy();
      browser.stdio[4].destroy();
      const kill = setTimeout(() => process.kill(-browser.pid, 'SIGKILL'), 5000);
      await closed;
      clearTimeout(kill);
      fs.rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
