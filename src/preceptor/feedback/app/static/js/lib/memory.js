/** What this browser remembers. Storage may be forbidden or full; then it is simply not remembered. */

const PREFIX = "preceptor/";

/** What was remembered under a name; null if nothing was. */
export function recall(name) {
  try {
    const found = localStorage.getItem(PREFIX + name);
    if (found === null) return null;
    return name === "theme" ? found : JSON.parse(found);
  } catch {
    return null;
  }
}

/** Remember a value; whether that worked. */
export function remember(name, value) {
  try {
    localStorage.setItem(PREFIX + name, name === "theme" ? value : JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/** Forget it. */
export function forget(name) {
  try {
    localStorage.removeItem(PREFIX + name);
  } catch {
    // nothing was remembered
  }
}

/** The names that begin with these letters. */
export function remembered(start) {
  try {
    return Object.keys(localStorage)
      .filter((key) => key.startsWith(PREFIX + start))
      .map((key) => key.slice(PREFIX.length));
  } catch {
    return [];
  }
}
