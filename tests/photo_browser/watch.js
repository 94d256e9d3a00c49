// Looks at each page as somebody would who sees badly, who uses no mouse, or whose window is narrow; and hears what the browser complains about.
'use strict';

const assert = require('assert');
const fs = require('fs');

const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const controls = ['button', 'link', 'textbox', 'combobox', 'checkbox', 'image', 'progressbar', 'DisclosureTriangle', 'navigation', 'heading'];

class Watch {
  /// `origins`: where the product is.
  constructor(page, origins, journey, screenshots) {
    Object.assign(this, { page, name: journey.name, scripts: journey.scripts, screenshots, looks: 0, heard: [] });
    page.on('pageerror', (error) => this.heard.push(`script: ${error.message}`));
    page.on('console', (message) => {
      if (/Content Security Policy/.test(message.text())) this.heard.push(message.text());
    });
    page.on('request', (request) => {
      if (![...origins.map((origin) => `${origin}/`), 'blob:'].some((begin) => request.url().startsWith(begin))) this.heard.push(`asked elsewhere: ${request.url()}`);
    });
    page.on('response', (response) => {
      if (response.status() === 429 || response.status() >= 500) this.heard.push(`${response.url()} was answered with ${response.status()}`);
    });
  }

  requireNothingHeard() {
    assert.deepStrictEqual(this.heard, []);
  }

  async look(name) {
    this.looks += 1;
    await this.waitForImages();
    await this.page.screenshot({ path: `${this.screenshots}/${this.name}-${name}.png` });
    await this.requireNames(name);
    if (this.scripts) await this.requireNoFaultOfAxe(name); // it is a script itself
    const overflow = await this.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(overflow <= 0, `${name}: the page is ${overflow} pixels wider than the window`);
  }

  async waitForImages() {
    await this.page.waitForLoadState('load');
    await this.page.waitForFunction(() => [...document.images].every((image) => image.complete || image.loading === 'lazy' && image.getBoundingClientRect().top > innerHeight));
    const broken = await this.page.evaluate(() => [...document.images].filter((image) => image.complete && image.naturalWidth === 0).map((image) => image.src));
    assert.deepStrictEqual(broken, [], 'images that do not show');
  }

  /// As the browser tells them to a screen reader.
  async requireNames(name) {
    const session = await this.page.context().newCDPSession(this.page);
    const { nodes } = await session.send('Accessibility.getFullAXTree');
    await session.detach();
    const seen = nodes.filter((node) => !node.ignored && node.role && controls.includes(node.role.value));
    const unnamed = seen.filter((node) => !node.name || !node.name.value.trim()).map((node) => node.role.value);
    assert.ok(seen.length > 2, `${name}: there are no controls`);
    assert.deepStrictEqual(unnamed, [], `${name}: controls without a name`);
  }

  async requireNoFaultOfAxe(name) {
    const faults = await this.page.evaluate(async (source) => {
      (0, eval)(source); // by the debugger, which the page's policy does not bind
      const { violations } = await window.axe.run();
      return violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html).join(' ')}`);
    }, axe);
    assert.deepStrictEqual(faults, [], `${name}: what not everybody can use`);
  }
}

exports.Watch = Watch;
