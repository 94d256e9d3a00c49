// Usage: node edges.js ENTRY SCREENSHOT     (NODE_PATH has the packages of package.json)
// Looks at the first page while edges live; says so, and goes on with the line that it is then told: that they are dead.
'use strict';

const assert = require('assert');
const readline = require('readline');
const { chromium } = require('playwright-core');

const photos = 'img[src*="/media/"]';
const origins = (page) => page.evaluate((photos) => [...new Set([...document.querySelectorAll(photos)].map((image) => new URL(image.currentSrc).origin))].sort(), photos);
// With what begins `src`. A function, as the page's policy lets no string be evaluated again when it was not true at first.
const allSeen = (page, src = '') =>
  page.waitForFunction(([photos, src]) => [...document.querySelectorAll(photos)].every((image) => image.complete && image.naturalWidth > 0 && image.src.startsWith(src)), [photos, src]);

async function open(browser, entry, scripts) {
  const context = await browser.newContext({ baseURL: entry, javaScriptEnabled: scripts, ignoreHTTPSErrors: true });
  context.setDefaultTimeout(10_000);
  const page = await context.newPage();
  await page.goto('/');
  await allSeen(page);
  const named = await origins(page);
  assert.ok(named.length > 0 && !named.includes(entry), `images are from ${named}`);
  return page;
}

async function main([entry, screenshot]) {
  const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] }); // which refuses root otherwise
  try {
    const [withScripts, without] = [await open(browser, entry, true), await open(browser, entry, false)];
    console.log('seen');
    await lines.next();
    await withScripts.evaluate((photos) => document.querySelectorAll(photos).forEach((image) => { image.src += '?again'; }), photos); // as if they had not been loaded before
    await allSeen(withScripts, `${entry}/`);
    await withScripts.screenshot({ path: screenshot });
    for (let reloads = 1; ; ++reloads) {
      await without.reload();
      const seen = await without.evaluate((photos) => [...document.querySelectorAll(photos)].every((image) => image.naturalWidth > 0), photos);
      if (seen && (await origins(without)).every((origin) => origin === entry)) break;
      assert.ok(reloads < 20, `images are still from ${await origins(without)}`);
    }
    console.log('seen without edges');
  } finally {
    await browser.close();
  }
}

main(process.argv.slice(2)).catch((why) => {
  console.log(why.stack);
  process.exit(1);
});
