/** What this browser remembers. Storage may be forbidden or full; then it is simply not remembered. */

const PREFIX = "preceptor/";

/** What was remembered under a name; null if nothing was. */
export function recall(name) {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + name));
  } catch {
    return null;
  }
}

/** Remember a value. */
export function remember(name, value) {
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // it is not remembered
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
