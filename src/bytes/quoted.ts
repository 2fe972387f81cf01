/** More of a name than this tells nobody anything. */
const longestShown = 100;

/** A name from a file in quotes, fit for a message: cut if it is long, what would steer a terminal escaped. */
export function quoted(name: string): string {
  const shown = name.length > longestShown ? `${name.slice(0, longestShown)}...` : name;
  const visible = shown.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
  return `"${visible}"`;
}
