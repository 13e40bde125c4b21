// How numbers and names are written.

const two = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const three = new Intl.NumberFormat("en", { minimumFractionDigits: 3, maximumFractionDigits: 3 });

export const score = (value) => two.format(value);
export const cosine = (value) => three.format(value);
export const percent = (share) => `${Math.round(share * 100)}\u00a0%`;
export const short = (id) => String(id).replace(/^sha256:/, "").slice(0, 8);
export const path = (category) => category.join(" › ");
export const counted = (number, one, many) => `${number} ${number === 1 ? one : many}`;

export function signed(effect) {
  const hundredths = (effect * 100).toFixed(1);
  return Number(hundredths) === 0 ? "0" : `${effect > 0 ? "+" : "−"}${hundredths.replace("-", "")}`;
}

export function price(amount, currency) {
  try {
    return new Intl.NumberFormat("en", { style: "currency", currency, minimumFractionDigits: amount % 1 ? 2 : 0 }).format(amount);
  } catch {  // a currency that is no ISO 4217 code
    return `${amount} ${currency}`;
  }
}

export function milliseconds(value) {
  return value < 1000 ? `${value < 10 ? value.toFixed(1) : Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}
