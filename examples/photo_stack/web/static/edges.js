// A photo that its edge does not give, because it is gone since the page was made, is asked for at the site itself, under the same path. Without scripts the
// page is reloaded: it names edges that live.
'use strict';

function askHere(image) {
  const asked = new URL(image.currentSrc || image.src, location);
  if (!asked.pathname.startsWith('/media/') || asked.origin === location.origin) return;
  for (const source of image.closest('picture')?.querySelectorAll('source') ?? []) source.remove(); // they are tried before the image's own address
  image.src = asked.pathname;
}

document.addEventListener('error', (event) => {
  if (event.target instanceof HTMLImageElement) askHere(event.target);
}, true); // it does not bubble

for (const image of document.images) {
  if (image.complete && image.naturalWidth === 0 && image.currentSrc) askHere(image); // before this was here
}
