// Shows the sizes of a photo that is being made ready, as they come; those of a new version once all of them are there, and until then what was shown before.
// Without scripts the page is reloaded.
const progress = document.getElementById("progress");
const sizes = document.getElementById("sizes");
const replaces = "replaces" in progress.dataset;
const events = new EventSource(progress.dataset.events);
const come = new Map(); // "large.jpg" → size

const made = (tag, properties, ...inside) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...inside);
  return element;
};

// The row of the table for sizes of this kind, which is new when it is the first of them.
const rowOf = (kind) => {
  const there = sizes.querySelector(`tr[data-kind="${kind}"]`);
  if (there) return there;
  const row = made("tr", {}, made("th", { scope: "row" }, kind), made("td", {}), made("td", {}));
  row.dataset.kind = kind;
  sizes.prepend(row);
  return row;
};

const show = (size, name) => {
  const [kind, format] = name.split(".");
  const [, pixels, files] = rowOf(kind).children;
  pixels.textContent = `${size.width} × ${size.height}`;
  const link = [...files.querySelectorAll("a")].find((a) => a.textContent === format);
  if (link) link.href = size.url;
  else files.append(made("a", { href: size.url, ariaLabel: `${kind} as ${format}` }, format), " ");
  if (name === "large.jpg") {
    const properties = { src: size.url, alt: document.querySelector("h1").textContent, width: size.width, height: size.height };
    document.getElementById("large").replaceChildren(made("img", properties));
  }
};

events.addEventListener("size", (event) => {
  const size = JSON.parse(event.data);
  const name = size.file.slice(size.file.indexOf("-") + 1);
  come.set(name, size);
  if (!replaces) show(size, name);
  progress.querySelector("b").textContent = come.size;
});
events.addEventListener("end", () => {
  events.close();
  if (replaces) {
    come.forEach(show);
    document.getElementById("edit").textContent = progress.dataset.replaces;
  }
  progress.remove();
});
events.addEventListener("fault", (event) => {
  events.close();
  progress.textContent = JSON.parse(event.data);
});
