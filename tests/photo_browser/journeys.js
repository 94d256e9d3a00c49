// Usage: node journeys.js ENTRY FOLDER_OF_PHOTOS FOLDER_FOR_SCREENSHOTS [EDGE…]     (NODE_PATH has the packages of package.json)
'use strict';

const { chromium } = require('playwright-core');
const { Watch } = require('./watch');
const { Visit } = require('./visit');
const { samplePhotos } = require('./sample_photos');

const large = { viewport: { width: 1280, height: 900 } };
const small = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };
const journeys = [
  { name: 'large', scripts: true, window: large, colorScheme: 'light' },
  { name: 'small', scripts: true, window: small, colorScheme: 'dark' },
  { name: 'large-plain', scripts: false, window: large, colorScheme: 'dark' },
  { name: 'small-plain', scripts: false, window: small, colorScheme: 'light' },
];

async function go(browser, entry, edges, journey, photos, screenshots) {
  const begun = Date.now();
  const context = await browser.newContext({
    ...journey.window, baseURL: entry, javaScriptEnabled: journey.scripts, colorScheme: journey.colorScheme, ignoreHTTPSErrors: true, // the stack's own certificate
  });
  context.setDefaultTimeout(10_000);
  const page = await context.newPage();
  const watch = new Watch(page, [entry, ...edges], journey, screenshots);
  try {
    await new Visit(page, watch, journey, photos).all();
    watch.requireNothingHeard();
    console.log(`${journey.name}: ${watch.looks} pages looked at, ${((Date.now() - begun) / 1000).toFixed(1)} s`);
    return true;
  } catch (why) {
    console.log(`${journey.name}: FAILED at ${page.url()}: ${why.stack}`);
    await page.screenshot({ path: `${screenshots}/${journey.name}-FAILED.png` });
    return false;
  } finally {
    await context.close();
  }
}

async function main([entry, folder, screenshots, ...edges]) {
  const photos = samplePhotos(folder);
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] }); // which refuses root otherwise
  try {
    let passed = true;
    for (const journey of journeys) passed = (await go(browser, entry, edges, journey, photos, screenshots)) && passed;
    return passed ? 0 : 1;
  } finally {
    await browser.close();
  }
}

main(process.argv.slice(2)).then((code) => process.exit(code));
