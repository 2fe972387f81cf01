/** The command line as it was typed, for records and advice. */

import { basename } from "node:path";
import { shownAddress } from "../bytes/address.js";

/** Options whose values are nobody's business. */
const secrets = ["--token"];

/**
 * What was typed, as it can be typed again: `lopsided make model.gguf -o 'my folder'`. Files are named without their
 * folders, and addresses without passwords: where they lay is nobody's business and would make two runs' records
 * differ. What is to be kept secret is left out.
 */
export function commandLine(args: readonly string[] = process.argv.slice(2)): string {
  const told = args.filter(
    (word, i) => !secrets.some((secret) => word.split("=")[0] === secret || args[i - 1] === secret),
  );
  return ["lopsided", ...told.map((word) => quoted(withoutFolder(word)))].join(" ");
}

function withoutFolder(word: string): string {
  const [, flag = "", value = word] = /^([^/\\]*=)(.*)$/s.exec(word) ?? [];
  const isPath = /^([/~]|\.{1,2}[\\/]|[A-Za-z]:[\\/])/.test(value);
  return flag + (isPath ? basename(value.replaceAll("\\", "/")) || value : shownAddress(value));
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
