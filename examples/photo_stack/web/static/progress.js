// Shows the sizes of a photo that is being made ready, as they come. Without scripts the page is reloaded.
const progress = document.getElementById("progress");
const list = document.getElementById("sizes");
const events = new EventSource(progress.dataset.events);

events.addEventListener("size", (event) => {
  const size = JSON.parse(event.data);
  if (![...list.querySelectorAll("a")].some((a) => a.textContent === size.file)) {
    const link = Object.assign(document.createElement("a"), { href: size.url, textContent: size.file });
    const item = document.createElement("li");
    item.append(link, `, ${size.width} × ${size.height}`);
    list.prepend(item);
  }
  if (size.file.endsWith("-large.jpg")) {
    document.getElementById("large").replaceChildren(Object.assign(new Image(), { src: size.url, alt: document.title }));
  }
  progress.querySelector("b").textContent = list.querySelectorAll("li:not(.original)").length;
});
events.addEventListener("end", () => {
  events.close();
  progress.remove();
});
events.addEventListener("fault", (event) => {
  events.close();
  progress.textContent = JSON.parse(event.data);
});
