// One visit, from the first page to the log-out; what is seen is asserted by what people read.
'use strict';

const assert = require('assert');
const crypto = require('crypto');
const { take } = require('./sample_photos');

const password = 'a good password';
const newPassword = 'a better password';
const pagePhotos = 24; // of the server's galleries
const formPhotosMax = 10; // in one request
const photoCount = pagePhotos + 3;
const readyMilliseconds = 180_000; // where workers have all of the photos to do first

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
    await this.edit();
    await this.profile();
    await this.policyHolds();
    await this.removal();
    await this.changePassword();
    await this.logOut();
    await this.logInAgain();
  }

  heading(name) { return this.page.getByRole('heading', { level: 1, name }); }
  alert(text) { return this.page.getByRole('alert').filter({ hasText: text }).waitFor(); }
  grid() { return this.page.locator('ul.grid li'); }

  async waitForPath(path) {
    await this.page.waitForURL((url) => url.pathname + url.search === path);
  }

  /// In a grid; one that is being made ready says so.
  photoLink(title) {
    return this.page.getByRole('link', { name: new RegExp(`^${title.replace(/[^\w ]/g, '\\$&')}(: not ready yet)?$`) });
  }

  /// By itself, or by looking again.
  async untilReady() {
    const progress = this.page.locator('#progress');
    if (this.scripts) return progress.waitFor({ state: 'detached', timeout: readyMilliseconds });
    const until = Date.now() + readyMilliseconds;
    while (await progress.count()) {
      assert.ok(Date.now() < until, 'the photo is ready in time');
      await progress.getByRole('link', { name: 'Look again' }).click();
    }
    return undefined;
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
      await this.photoLink(all[Math.min(i + formPhotosMax, all.length) - 1].name).waitFor();
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
    await this.page.getByRole('status').filter({ hasText: new RegExp(`[1-9]\\d* of ${photoCount} uploaded…`) }).waitFor();
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
    await this.photoLink(this.title).click();
    await this.heading(this.title).waitFor();
    await this.untilReady();
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

  number(name) { return this.page.getByRole('spinbutton', { name }); }

  async openEdit() {
    await this.page.getByText('Edit this photo…').click();
    await this.page.getByRole('button', { name: 'Apply' }).waitFor();
  }

  async edit() {
    await this.openEdit();
    await this.number('Left').fill('1'); // and as wide as it is
    await this.page.getByRole('button', { name: 'Apply' }).click();
    await this.alert('and no rectangle of');
    assert.strictEqual(await this.number('Left').inputValue(), '1', 'what was entered is there still');
    await this.watch.look('edit-refused');
    if (this.scripts) await this.drawRectangle();
    for (const [name, value] of [['Left', '40'], ['Top', '20'], ['Width', '400'], ['Height', '300'], ['Blur', '2']]) await this.number(name).fill(value);
    await this.watch.look('edit');
    await this.page.getByRole('button', { name: 'Apply' }).click();
    await this.waitForPath(this.address);
    await this.requireShown('cropped to 400 × 300, blurred by 2', (size) => size.join() === '400,300');
    await this.watch.look('photo-edited');
    await this.openEdit();
    assert.strictEqual(await this.number('Width').inputValue(), '400', 'the form has what was done');
    await this.page.getByRole('button', { name: 'Back to the original' }).click();
    await this.waitForPath(this.address);
    await this.requireShown('', (size) => Math.max(...size) > 400);
    await this.openEdit();
    assert.strictEqual(await this.page.getByRole('button', { name: 'Back to the original' }).count(), 0, 'it is the original');
  }

  /// From a quarter to the middle.
  async drawRectangle() {
    const picture = this.page.getByRole('img', { name: 'The original, on which' });
    await picture.scrollIntoViewIfNeeded();
    await this.page.waitForFunction(() => document.querySelector('.crop img').naturalWidth > 0);
    const box = await picture.boundingBox();
    await this.page.mouse.move(box.x + box.width / 4, box.y + box.height / 4);
    await this.page.mouse.down();
    await this.page.mouse.move(box.x + box.width / 2, box.y + box.height / 2, { steps: 3 });
    await this.page.mouse.up();
    const whole = Number(await this.number('Width').getAttribute('max'));
    for (const name of ['Left', 'Width']) {
      const part = Number(await this.number(name).inputValue()) / whole;
      assert.ok(Math.abs(part - 0.25) < 0.02, `${name} as it was drawn: ${part} of the width`);
    }
  }

  /// Until it is, what was before.
  async requireShown(edit, isSize) {
    await this.untilReady();
    const image = this.page.getByRole('figure').getByRole('img');
    await this.page.waitForFunction(() => [...document.querySelectorAll('figure img')].every((each) => each.complete && each.naturalWidth > 0));
    const size = await image.evaluate((each) => [each.naturalWidth, each.naturalHeight]);
    assert.ok(isSize(size), `it is ${size.join(' × ')} pixels large`);
    const caption = await this.page.getByRole('figure').locator('figcaption').textContent();
    assert.ok(edit ? caption.endsWith(` · ${edit}`) : /B$/.test(caption.trim()), caption);
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
    assert.strictEqual(await this.photoLink(this.title).count(), 0);
    assert.strictEqual((await this.page.goto(this.address)).status(), 404);
    await this.heading('There is nothing here.').waitFor();
    await this.watch.look('nothing-here');
  }

  async changePassword() {
    await this.page.goto('/photos');
    await this.page.getByRole('link', { name: 'Change password' }).click();
    await this.heading('Change password').waitFor();
    const send = async (until, from) => {
      await this.page.getByLabel('Password until now').fill(until);
      await this.page.getByLabel('New password').fill(from);
      await this.page.getByRole('button', { name: 'Change password' }).click();
    };
    await send('not my password', newPassword);
    await this.alert('This is not your password.');
    await this.watch.look('password-refused');
    await send(password, newPassword);
    await this.waitForPath('/photos');
  }

  async logOut() {
    await this.page.getByRole('button', { name: `Log out ${this.name}` }).click();
    await this.page.getByRole('navigation').getByRole('link', { name: 'Log in' }).waitFor();
    await this.page.goto('/photos');
    await this.waitForPath('/login');
  }

  async logInAgain() {
    await this.fillAndSend('Log in', this.name, password); // which it was once
    await this.alert('Name and password do not belong together.');
    await this.watch.look('log-in-refused');
    await this.fillAndSend('Log in', this.name, newPassword);
    await this.waitForPath('/photos');
    assert.strictEqual(await this.grid().count(), pagePhotos);
    await this.page.goto('/');
    await this.heading('Newest photos').waitFor();
    await this.watch.look('first-page-logged-in');
  }
}

exports.Visit = Visit;
