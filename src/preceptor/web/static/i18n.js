/** Words in the reader's language, for pages that bring words of their own. */

import { recall, remember } from "./memory.js";

/** Languages by the name that they call themselves. */
export const LANGUAGES = { en: "English", "zh-Hans": "简体中文" };

/**
 * @param {Object<string, Object<string, string>>} words by language and key; all languages have the same keys
 */
export function speaking(words) {
  let language = first();

  function first() {
    const kept = recall("language");
    if (kept in words) return kept;
    return (navigator.language || "en").toLowerCase().startsWith("zh") ? "zh-Hans" : "en";
  }

  /** The language that pages are in now. */
  function currentLanguage() {
    return language;
  }

  /** Change it, and remember it in this browser. */
  function useLanguage(name) {
    if (!(name in words)) return;
    language = name;
    remember("language", name);
    document.documentElement.lang = name;
  }

  /**
   * The words for a key. `{name}` is filled from `values`; of "one|many" the first is taken when `n` is 1.
   *
   * @param {string} key
   * @param {Object<string, string | number>} [values]
   */
  function t(key, values = {}) {
    const found = words[language][key] ?? key;
    const [one, many] = found.includes("|") ? found.split("|") : [found, found];
    const form = String(values.n) === "1" ? one : many;
    return form.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
  }

  return { currentLanguage, useLanguage, t };
}
