/** Addresses as they may be shown: in messages, records and metadata. */

const scheme = /^[a-z][a-z0-9+.-]*:\/\//i;

/**
 * An address without what may be a password: what stands before an @ in front of the host, and what follows a
 * question mark or a number sign. What is no address (a path) is given back as it is.
 */
export function shownAddress(address: string): string {
  const [begin] = scheme.exec(address) ?? [];
  if (begin === undefined) {
    return address;
  }
  const rest = address.slice(begin.length).replace(/[?#].*$/s, "");
  // In an address that cannot be parsed nobody knows where the password ends.
  const isSound = /^hf:/i.test(begin) || URL.canParse(address);
  return begin + rest.replace(isSound ? /^[^/]*@/ : /^.*@/s, "");
}

/** What to call a file or model where its folder is nobody's business: an address as shown, of a path the last part. */
export function shownName(model: string): string {
  return isAddress(model) ? shownAddress(model) : lastPart(model.replaceAll("\\", "/"));
}

/** What stands behind the last slash, one at the end not counted. */
function lastPart(path: string): string {
  const trimmed = path.replace(/\/+$/, "");
  return trimmed.slice(trimmed.lastIndexOf("/") + 1);
}

/** Whether a text is an address rather than a path. */
export function isAddress(text: string): boolean {
  return scheme.test(text);
}

/** Whether an address has a user name or password in it, as `https://name:password@host/`. */
export function hasCredentials(address: string): boolean {
  if (!URL.canParse(address)) {
    return false;
  }
  const { username, password } = new URL(address);
  return username !== "" || password !== "";
}
