/** What was typed, as it can be typed again: `lopsided make model.gguf -o 'my folder'`. */
export function commandLine(args: readonly string[] = process.argv.slice(2)): string {
  return ["lopsided", ...args.map(quoted)].join(" ");
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
