// Better with JavaScript: each chosen photo is shown at once and sent by itself, with its progress, and the page stays where it is. Without it, the same
// form sends all of them in one request. What the page shows afterwards is in both cases what the server's own page says.
'use strict';

const attemptsMax = 5;
const form = document.querySelector('form.upload');

if (form) {
  let count = 0;
  let chosen = [];
  let turn = Promise.resolve(); // one at a time, in the order in which they were chosen
  const files = form.elements.photos;
  const tally = { sent: 0, refused: 0, waiting: 0 };

  files.addEventListener('change', () => {
    for (const row of chosen) row.element.remove();
    chosen = Array.from(files.files, (file) => newRow(file, `${form.elements.once.value}-${++count}`));
  });

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const faultOfAnEarlierPage = form.querySelector('.fault');
    if (faultOfAnEarlierPage) faultOfAnEarlierPage.remove();
    for (const row of chosen) {
      tally.waiting += 1;
      turn = turn.then(() => upload(row));
    }
    chosen = [];
    files.value = '';
    showTally();
  });

  function newRow(file, once) {
    const element = document.getElementById('upload-row').content.firstElementChild.cloneNode(true);
    const preview = element.querySelector('img');
    const progress = element.querySelector('progress');
    preview.src = URL.createObjectURL(file);
    preview.addEventListener('load', () => URL.revokeObjectURL(preview.src));
    preview.addEventListener('error', () => preview.remove()); // no photo: the server will say so
    progress.setAttribute('aria-label', `Progress of ${file.name}`);
    element.querySelector('.file-name').textContent = file.name;
    form.querySelector('.uploads').append(element);
    return { file, once, element, progress, state: element.querySelector('.state') };
  }

  async function upload(row) {
    let fault;
    try {
      fault = await sendUntilAnswered(row);
    } catch (why) {
      fault = why.message;
    }
    tally.waiting -= 1;
    tally[fault ? 'refused' : 'sent'] += 1;
    if (fault) showRefusal(row, fault);
    else row.element.remove(); // it is in the gallery now
    showTally();
  }

  function showRefusal(row, fault) {
    row.progress.remove();
    row.state.textContent = fault;
    row.element.classList.add('refused');
  }

  // Under the same number each time: however often it takes, the photo is stored once. The sentence of a refusal, or nothing.
  async function sendUntilAnswered(row) {
    for (let attempt = 1; ; ++attempt) {
      const answer = await send(row).catch(() => null);
      if (answer && answer.status !== 429 && answer.status < 502) return take(answer);
      if (attempt === attemptsMax) throw new Error('The server cannot be reached. Choose the photo again later.');
      row.state.textContent = 'Waiting to try again…';
      await new Promise((resolve) => setTimeout(resolve, 1000 * attempt));
    }
  }

  function send(row) {
    return new Promise((resolve, reject) => {
      const body = new FormData();
      body.set('form_token', form.elements.form_token.value);
      body.set('once', row.once);
      body.set('photos', row.file);
      const request = new XMLHttpRequest();
      request.open('POST', form.action);
      request.responseType = 'document';
      request.upload.addEventListener('progress', (event) => {
        row.progress.value = event.loaded / event.total;
        row.state.textContent = event.loaded < event.total ? 'Sending…' : 'Making its sizes…';
      });
      request.addEventListener('load', () => resolve(request));
      request.addEventListener('error', reject);
      request.send(body);
    });
  }

  function take(answer) {
    if (new URL(answer.responseURL).pathname !== new URL(form.action).pathname) location.assign(answer.responseURL); // logged out meanwhile
    const page = answer.response;
    const fault = page && page.querySelector('[role=alert]');
    if (fault || answer.status >= 400) return fault ? fault.textContent : `The server answered with ${answer.status}.`;
    document.getElementById('photos').replaceWith(page.getElementById('photos'));
    return undefined;
  }

  function showTally() {
    const all = tally.sent + tally.refused + tally.waiting;
    const parts = [`${tally.sent} of ${all} uploaded`];
    if (tally.refused) parts.push(`${tally.refused} refused`);
    form.querySelector('.summary').textContent = `${parts.join(', ')}${tally.waiting ? '…' : '.'}`;
  }
}
