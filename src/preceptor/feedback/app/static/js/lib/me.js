/** Who is signed in. */

let session = null;

/** @returns {null | {id: number, name: string, role: "labeler" | "reviewer" | "admin", mustConsent: number | null}} */
export function me() {
  return session?.person ? { ...session.person, mustConsent: session.must_consent } : null;
}

/** What the server said of it last. */
export function setSession(said) {
  session = said;
}
