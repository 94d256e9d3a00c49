// Shows the sizes of a photo that is being made ready, as they come. Without scripts the page is reloaded.
const progress = document.getElementById("progress");
const sizes = document.getElementById("sizes");
const events = new EventSource(progress.dataset.events);

const made = (tag, properties, ...inside) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...inside);
  return element;
};

// The row of the table for sizes of this kind, which is new when it is the first of them.
const rowOf = (kind, size) => {
  const there = sizes.querySelector(`tr[data-kind="${kind}"]`);
  if (there) return there;
  const row = made("tr", {}, made("th", { scope: "row" }, kind), made("td", {}, `${size.width} × ${size.height}`), made("td", {}));
  row.dataset.kind = kind;
  sizes.prepend(row);
  return row;
};

events.addEventListener("size", (event) => {
  const size = JSON.parse(event.data);
  const [kind, format] = size.file.slice(size.file.indexOf("-") + 1).split(".");
  const files = rowOf(kind, size).lastElementChild;
  if (![...files.querySelectorAll("a")].some((link) => link.textContent === format)) {
    files.append(made("a", { href: size.url, ariaLabel: `${kind} as ${format}` }, format), " ");
  }
  if (kind === "large" && format === "jpg") {
    document.getElementById("large").replaceChildren(made("img", { src: size.url, alt: document.querySelector("h1").textContent }));
  }
  progress.querySelector("b").textContent = sizes.querySelectorAll("tr[data-kind] a").length;
});
events.addEventListener("end", () => {
  events.close();
  progress.remove();
});
events.addEventListener("fault", (event) => {
  events.close();
  progress.textContent = JSON.parse(event.data);
});
