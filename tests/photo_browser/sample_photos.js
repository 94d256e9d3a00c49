// Photographs to choose in a browser.
'use strict';

const fs = require('fs');
const path = require('path');

const bytesMax = 300_000; // the larger ones take long to be made into sizes
const types = { '.jpg': 'image/jpeg', '.png': 'image/png' };

exports.samplePhotos = function (folder) {
  const files = fs.readdirSync(folder, { recursive: true }).map((file) => path.join(folder, file));
  const photos = files.filter((file) => types[path.extname(file)] && fs.statSync(file).size <= bytesMax).sort();
  return photos.map((file) => ({ name: path.basename(file), mimeType: types[path.extname(file)], buffer: fs.readFileSync(file) }));
};

/// So many, each under a name of its own.
exports.take = function (photos, count) {
  return Array.from({ length: count }, (_, i) => ({ ...photos[i % photos.length], name: `${i + 1} ${photos[i % photos.length].name}` }));
};
