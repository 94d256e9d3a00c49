// One visit, from the first page to the log-out; what is seen is asserted by what people read.
'use strict';

const assert = require('assert');
const crypto = require('crypto');
const { take } = require('./sample_photos');

const password = 'a good password';
const pagePhotos = 24; // of the server's galleries
const formPhotosMax = 10; // in one request
const photoCount = pagePhotos + 3;

class Visit {
  constructor(page, watch, journey, photos) {
    Object.assign(this, { page, watch, scripts: journey.scripts, photos });
    this.name = `eve_${crypto.randomBytes(5).toString('hex')}`;
  }

  async all() {
    await this.firstPage();
    await this.signUp();
    await this.emptyGallery();
    await this.refusedUpload();
    await this.upload();
    await this.galleryWithPages();
    await this.photo();
    await this.profile();
    await this.policyHolds();
    await this.removal();
    await this.logOut();
    await this.logInAgain();
  }

  heading(name) { return this.page.getByRole('heading', { level: 1, name }); }
  alert(text) { return this.page.getByRole('alert').filter({ hasText: text }).waitFor(); }
  grid() { return this.page.locator('ul.grid li'); }

  async waitForPath(path) {
    await this.page.waitForURL((url) => url.pathname + url.search === path);
  }

  async firstPage() {
    await this.page.goto('/');
    await this.heading('Your photos, wherever you are').waitFor();
    await this.page.keyboard.press('Tab');
    const focused = await this.page.evaluate(() => [document.activeElement.textContent, getComputedStyle(document.activeElement).outlineStyle]);
    assert.deepStrictEqual(focused, ['Skip to the content', 'solid'], 'where the keyboard is, is seen');
    await this.page.getByRole('heading', { level: 1 }).click(); // the focus goes away again
    await this.watch.look('first-page');
  }

  async fillAndSend(button, name, secret) {
    await this.page.getByLabel('Name').fill(name);
    await this.page.getByLabel('Password').fill(secret);
    await this.page.getByRole('main').getByRole('button', { name: button }).click();
  }

  async signUp() {
    await this.page.getByRole('navigation').getByRole('link', { name: 'Sign up' }).click();
    await this.heading('Sign up').waitFor();
    await this.watch.look('sign-up');
    await this.fillAndSend('Sign up', this.name, 'short'); // the browser itself keeps it back
    assert.ok(await this.page.getByLabel('Password').evaluate((input) => !input.validity.valid), 'a short password is told at once');
    await this.fillAndSend('Sign up', 'ann', password);
    await this.alert("The name 'ann' is taken.");
    assert.strictEqual(await this.page.getByLabel('Name').inputValue(), 'ann', 'what was entered is there still');
    await this.watch.look('sign-up-refused');
    await this.fillAndSend('Sign up', this.name, password);
    await this.waitForPath('/photos');
  }

  async emptyGallery() {
    await this.heading('My photos').waitFor();
    await this.page.getByText('There is nothing here yet.').waitFor();
    await this.watch.look('gallery-empty');
  }

  async choose(files) {
    await this.page.getByLabel('Choose photos').setInputFiles(files);
  }

  async send() {
    await this.page.getByRole('button', { name: 'Upload' }).click();
  }

  async refusedUpload() {
    await this.choose([{ name: 'letter.jpg', mimeType: 'image/jpeg', buffer: Buffer.from('no photo at all') }]);
    await this.send();
    const told = this.scripts ? this.page.getByRole('listitem').filter({ hasText: 'letter.jpg' }) : this.page.getByRole('alert');
    await told.filter({ hasText: 'The file is not a JPEG, PNG or WebP photograph.' }).waitFor();
    await this.watch.look('upload-refused');
    await this.page.goto('/photos');
  }

  async upload() {
    const all = take(this.photos, photoCount);
    if (this.scripts) return this.uploadInPlace(all);
    for (let i = 0; i < all.length; i += formPhotosMax) {
      await this.choose(all.slice(i, i + formPhotosMax));
      await this.send();
      await this.page.getByRole('link', { name: all[Math.min(i + formPhotosMax, all.length) - 1].name, exact: true }).waitFor();
    }
    await this.waitForPath('/photos');
    return undefined;
  }

  /// With previews and progress, and without another page.
  async uploadInPlace(all) {
    await this.page.evaluate(() => { window.samePage = true; });
    await this.choose(all.slice(0, 6));
    const shown = this.page.locator('.uploads li img');
    await this.page.waitForFunction(() => [...document.querySelectorAll('.uploads li img')].every((image) => image.naturalWidth > 0));
    assert.strictEqual(await shown.count(), 6, 'previews of what was chosen');
    assert.strictEqual(await this.page.getByRole('progressbar').count(), 6);
    await this.watch.look('upload-chosen');
    await this.choose(all); // others than before
    await this.send();
    await this.page.getByRole('status').filter({ hasText: `2 of ${photoCount} uploaded…` }).waitFor();
    await this.watch.look('upload-under-way');
    await this.page.getByRole('status').filter({ hasText: `${photoCount} of ${photoCount} uploaded.` }).waitFor({ timeout: 120_000 });
    assert.strictEqual(await this.page.evaluate(() => window.samePage), true, 'the page has stayed');
  }

  async galleryWithPages() {
    assert.strictEqual(await this.grid().count(), pagePhotos);
    await this.watch.look('gallery');
    await this.page.goto('/photos');
    await this.page.getByRole('link', { name: 'Older photos' }).click();
    await this.page.getByRole('link', { name: 'Newest photos' }).waitFor();
    assert.strictEqual(await this.grid().count(), photoCount - pagePhotos);
    assert.strictEqual(await this.page.getByRole('link', { name: 'Older photos' }).count(), 0);
    await this.watch.look('gallery-last-page');
    await this.page.getByRole('link', { name: 'Newest photos' }).click();
    await this.waitForPath('/photos');
  }

  async photo() {
    this.title = take(this.photos, photoCount)[photoCount - 1].name;
    await this.page.getByRole('link', { name: this.title, exact: true }).click();
    await this.heading(this.title).waitFor();
    this.address = new URL(this.page.url()).pathname;
    const names = await this.page.getByRole('rowheader').allTextContents();
    assert.deepStrictEqual(names.sort(), ['large', 'original', 'placeholder', 'square', 'thumbnail']);
    for (const link of await this.page.getByRole('table').getByRole('link').all()) {
      const file = await this.page.request.get(await link.getAttribute('href'));
      assert.strictEqual(file.status(), 200, await link.textContent());
      assert.match(file.headers()['content-type'], /^image\//);
    }
    this.original = await this.page.getByRole('link', { name: 'as it was sent' }).getAttribute('href');
    await this.watch.look('photo');
  }

  /// As somebody sees it who is not logged in.
  async profile() {
    await this.page.getByRole('figure').getByRole('link', { name: this.name }).click();
    await this.heading(this.name).waitFor();
    assert.strictEqual(await this.grid().count(), pagePhotos);
    await this.watch.look('profile');
    const context = await this.page.context().browser().newContext({ baseURL: new URL(this.page.url()).origin, ignoreHTTPSErrors: true });
    const stranger = await context.newPage();
    await stranger.goto(this.address);
    await stranger.getByRole('heading', { level: 1, name: this.title }).waitFor();
    assert.strictEqual(await stranger.getByText('Delete').count(), 0, 'nobody else is offered to delete it');
    assert.strictEqual((await stranger.goto(this.original)).status(), 404, 'nobody else sees the original');
    await context.close();
  }

  /// What would stand in a page although it should not is not run, and nothing is fetched from elsewhere.
  async policyHolds() {
    if (!this.scripts) return;
    const ran = await this.page.evaluate(() => new Promise((resolve) => {
      const refused = [];
      addEventListener('securitypolicyviolation', (event) => refused.push(event.effectiveDirective));
      const script = document.createElement('script');
      script.textContent = 'window.intruded = true';
      const image = document.createElement('img');
      image.addEventListener('error', () => setTimeout(() => resolve([refused.sort(), window.intruded === true])));
      image.src = 'https://elsewhere.test/spy.png';
      document.body.append(script, image);
    }));
    assert.deepStrictEqual(ran, [['img-src', 'script-src-elem'], false]);
    this.watch.heard = this.watch.heard.filter((text) => !/inline script|elsewhere\.test/.test(text));
  }

  async removal() {
    await this.page.goto(this.address);
    await this.page.getByText('Delete this photo…').click();
    await this.page.getByRole('button', { name: 'Delete it' }).waitFor();
    await this.watch.look('photo-removal');
    await this.page.getByRole('button', { name: 'Delete it' }).click();
    await this.waitForPath('/photos');
    assert.strictEqual(await this.page.getByRole('link', { name: this.title, exact: true }).count(), 0);
    assert.strictEqual((await this.page.goto(this.address)).status(), 404);
    await this.heading('There is nothing here.').waitFor();
    await this.watch.look('nothing-here');
  }

  async logOut() {
    await this.page.getByRole('button', { name: `Log out ${this.name}` }).click();
    await this.page.getByRole('navigation').getByRole('link', { name: 'Log in' }).waitFor();
    await this.page.goto('/photos');
    await this.waitForPath('/login');
  }

  async logInAgain() {
    await this.fillAndSend('Log in', this.name, 'another password');
    await this.alert('Name and password do not belong together.');
    await this.watch.look('log-in-refused');
    await this.fillAndSend('Log in', this.name, password);
    await this.waitForPath('/photos');
    assert.strictEqual(await this.grid().count(), pagePhotos);
    await this.page.goto('/');
    await this.heading('Newest photos').waitFor();
    await this.watch.look('first-page-logged-in');
  }
}

exports.Visit = Visit;
