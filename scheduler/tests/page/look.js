// Checks how a page looks to a reader. It runs in the page and returns a list of mistakes.
const wrong = [];
const width = document.documentElement.clientWidth;
if (document.scrollingElement.scrollWidth > width)
  wrong.push(`the page is ${document.scrollingElement.scrollWidth} px wide on a screen of ${width} px`);

const numbers = (colour) => {
  const found = colour.match(/[\d.]+/g).map(Number);
  return found.length > 3 ? found : [...found, 1];
};
const light = (colour) => {
  const [r, g, b] = colour.slice(0, 3).map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (one, other) => {
  const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};
const shown = (element) => {
  const box = element.getBoundingClientRect();
  return box.width > 0 && box.height > 0 && getComputedStyle(element).visibility === "visible" && !element.closest(".unseen, .skip");
};
// The nearest colour behind an element: of the shapes below a word of a drawing, or of the boxes around it.
const behind = (element) => {
  if (element.namespaceURI.endsWith("svg")) {
    const box = element.getBoundingClientRect();
    const shapes = [...element.closest("svg").querySelectorAll("rect")].filter((shape) => {
      const other = shape.getBoundingClientRect();
      const below = shape.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING;
      const x = box.left + box.width / 2, y = box.top + box.height / 2;
      return below && other.left <= x && x <= other.right && other.top <= y && y <= other.bottom;
    });
    if (shapes.length) return numbers(getComputedStyle(shapes.at(-1)).fill);
  }
  for (let box = element; box; box = box.parentElement) {
    const colour = numbers(getComputedStyle(box).backgroundColor);
    if (colour[3] > 0) return colour;
  }
  return [255, 255, 255, 1];
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let words = 0;
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const element = node.parentElement;
  if (!node.data.trim() || !shown(element) || ["title", "desc", "style"].includes(element.localName)) continue;
  words += 1;
  const style = getComputedStyle(element);
  const svg = element.namespaceURI.endsWith("svg");
  const ratio = contrast(numbers(svg ? style.fill : style.color), behind(element));
  if (ratio < 4.5) wrong.push(`'${node.data.trim().slice(0, 30)}' has a contrast of ${ratio.toFixed(2)}`);
  if (parseFloat(style.fontSize) < 10) wrong.push(`'${node.data.trim().slice(0, 30)}' is ${style.fontSize} high`);
}
if (words < 5) wrong.push(`there are ${words} words on it`);

for (const drawing of document.querySelectorAll("svg")) {
  const box = drawing.getBoundingClientRect();
  for (const text of drawing.querySelectorAll("text")) {
    const own = text.getBoundingClientRect();
    if (own.width && (own.left < box.left - 12 || own.right > box.right + 12))
      wrong.push(`'${text.textContent.slice(0, 30)}' stands out of its drawing`);
  }
}
for (const element of document.querySelectorAll("a[href], button"))
  if (element.tabIndex < 0) wrong.push(`'${element.textContent}' cannot be reached by keyboard`);
if (document.scripts.length) wrong.push("it has a script");
return wrong;
