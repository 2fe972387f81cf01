/** What is typed in a chat, put together to messages. */

const tripleQuote = '"""';

/**
 * Messages of one line each, unless the line ends with a backslash, which leads on to the next, or the message
 * begins with three quotation marks: then it lasts until the next three.
 * @param onWait told before each line whether it goes on with a message
 */
export async function* readMessages(
  lines: AsyncIterable<string>,
  onWait: (continues: boolean) => void = () => {},
): AsyncGenerator<string, void, void> {
  let parts: string[] = [];
  let isQuoted = false;
  onWait(false);
  for await (const line of lines) {
    const opens = !isQuoted && parts.length === 0 && line.trimStart().startsWith(tripleQuote);
    const text = opens ? line.trimStart().slice(tripleQuote.length) : line;
    if (opens) {
      isQuoted = true;
    }
    const closes = isQuoted && text.trimEnd().endsWith(tripleQuote);
    const continues = isQuoted ? !closes : text.endsWith("\\");
    if (closes) {
      parts.push(text.trimEnd().slice(0, -tripleQuote.length));
    } else {
      parts.push(!isQuoted && continues ? text.slice(0, -1) : text);
    }
    if (!continues) {
      const message = parts.join("\n").trim();
      parts = [];
      isQuoted = false;
      if (message !== "") {
        yield message;
      }
    }
    onWait(continues);
  }
  const rest = parts.join("\n").trim();
  if (rest !== "") {
    yield rest;
  }
}
