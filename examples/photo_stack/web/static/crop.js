// Better with JavaScript: the rectangle is drawn on the original, and dragging draws another one. The numbers are what is sent, and say the same.
'use strict';

{
  const frame = document.querySelector('fieldset[data-original]');
  const { left, top, width, height } = frame.form.elements;
  const all = { width: Number(width.max), height: Number(height.max) };
  const row = document.createElement('div');
  const board = document.createElement('div');
  const picture = document.createElement('img');
  const rectangle = document.createElement('div');
  row.className = 'crop-row';
  board.className = 'crop';
  picture.alt = 'The original, on which a rectangle may be drawn';
  picture.draggable = false;
  board.append(picture, rectangle);
  row.append(board);
  const details = frame.closest('details');
  if (details.open) load();
  else details.addEventListener('toggle', load, { once: true }); // whoever does not edit does not wait for the original

  function load() {
    picture.src = frame.dataset.original;
    frame.prepend(frame.querySelector('legend'), row);
    draw();
  }

  function draw() {
    const share = (part, whole) => `${100 * Number(part.value) / whole}%`;
    Object.assign(rectangle.style, { left: share(left, all.width), top: share(top, all.height), width: share(width, all.width), height: share(height, all.height) });
  }

  // Where the pointer is, in pixels of the original.
  function place(event) {
    const box = board.getBoundingClientRect();
    const within = (at, from, size, pixels) => Math.round(Math.min(1, Math.max(0, (at - from) / size)) * pixels);
    return [within(event.clientX, box.left, box.width, all.width), within(event.clientY, box.top, box.height, all.height)];
  }

  let begun;
  board.addEventListener('pointerdown', (event) => {
    begun = place(event);
    board.setPointerCapture(event.pointerId);
  });
  board.addEventListener('pointermove', (event) => {
    if (!begun) return;
    const now = place(event);
    [left.value, top.value] = [0, 1].map((i) => Math.min(begun[i], now[i], [all.width, all.height][i] - 1));
    [width.value, height.value] = [0, 1].map((i) => Math.max(1, Math.abs(begun[i] - now[i])));
    draw();
  });
  for (const end of ['pointerup', 'pointercancel']) board.addEventListener(end, () => { begun = undefined; });
  for (const number of [left, top, width, height]) number.addEventListener('input', draw);
}
