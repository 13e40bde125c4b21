// Elements out of data. Data becomes text or an attribute, never markup.

export const byId = (id) => document.getElementById(id);

export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") Object.entries(value).forEach(([event, listener]) => element.addEventListener(event, listener));
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

// The element with a length between 0 and 1 as --share: inline styles in markup are forbidden by the page's policy, the CSSOM is not.
export function sized(element, share) {
  element.style.setProperty("--share", Math.min(1, Math.max(0, share)));
  return element;
}

// Read out by screen readers once the page is calm.
export function say(text) {
  byId("said").textContent = text;
}
