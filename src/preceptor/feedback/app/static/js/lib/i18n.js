/** Words in the reader's language. All languages have the same keys (a test holds them together). */

import enAdmin from "../strings/en-admin.js";
import en from "../strings/en.js";
import zhHansAdmin from "../strings/zh-Hans-admin.js";
import zhHans from "../strings/zh-Hans.js";
import { LANGUAGES, speaking } from "/common/i18n.js";

const WORDS = { en: { ...en, ...enAdmin }, "zh-Hans": { ...zhHans, ...zhHansAdmin } };

export { LANGUAGES };
export const { currentLanguage, useLanguage, t } = speaking(WORDS);

/** The words for a key, or the fallback if there are none: for names that come from the server. */
export function tOr(key, fallback, values = {}) {
  return key in WORDS.en ? t(key, values) : fallback;
}

/** A time of the server as people write it here. */
export function when(iso, parts = { dateStyle: "medium", timeStyle: "short" }) {
  return iso ? new Intl.DateTimeFormat(currentLanguage(), parts).format(new Date(iso)) : "";
}

/** A number as people write it here. */
export function number(value, digits = 0) {
  return value === null || value === undefined
    ? "–"
    : new Intl.NumberFormat(currentLanguage(), { maximumFractionDigits: digits, minimumFractionDigits: digits }).format(value);
}

/** A share as percent with one digit; a dash when there is none. */
export function percent(share) {
  return share === null || share === undefined ? "–" : `${number(share * 100, 1)}%`;
}

/** Seconds as 1:05 or 1:02:05. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.floor(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}
