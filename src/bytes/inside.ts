/** Relative paths that strangers give. */

/** Whether a relative path stays below the folder that it starts from, on every system. */
export function isInside(path: string): boolean {
  return path.split("/").every((part) => !["", ".", ".."].includes(part) && !/[\\:\0]/.test(part));
}
