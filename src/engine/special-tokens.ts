/**
 * Cuts a text at its special tokens, as llama.cpp's tokenizer does (`tokenizer_st_partition`): longer tokens first,
 * each from the left. llama.cpp looks for every token from every cut to the end of the whole text, which takes
 * seconds for 40 000 cuts; here a text is read once, however many tokens and cuts there are.
 */

/** A token whose text is not tokenized like other text. */
export interface SpecialToken {
  readonly token: number;
  /** Its text: one character for each byte (latin1). */
  readonly text: string;
  /** It is only read as such when control tokens are parsed; others always are. */
  readonly isControl: boolean;
  /** White space before or after it goes away. */
  readonly stripsLeft: boolean;
  readonly stripsRight: boolean;
}

/** A part of a text: a special token, or bytes from `begin` to `end` that have none. */
export type TextPart = number | { readonly begin: number; readonly end: number };

interface Node {
  readonly next: Map<number, Node>;
  special?: SpecialToken;
}

interface Match {
  readonly begin: number;
  readonly special: SpecialToken;
}

export class SpecialTokens {
  readonly #all: Node;
  readonly #withoutControl: Node;

  constructor(tokens: readonly SpecialToken[]) {
    this.#all = trieOf(tokens);
    this.#withoutControl = trieOf(tokens.filter(({ isControl }) => !isControl));
  }

  /**
   * The parts of a text in order.
   * @param bytes UTF-8
   * @param parseSpecial whether control tokens are special
   */
  split(bytes: Uint8Array, parseSpecial: boolean): TextPart[] {
    const root = parseSpecial ? this.#all : this.#withoutControl;
    const covered = new Uint8Array(bytes.length);
    const chosen = occurrences(root, bytes)
      .sort((a, b) => b.special.text.length - a.special.text.length || a.begin - b.begin)
      .filter((match) => cover(covered, bytes, match))
      .sort((a, b) => a.begin - b.begin);
    const parts: TextPart[] = [];
    let at = 0;
    const addText = (until: number) => {
      // What a token stripped is no text.
      let begin = at;
      let end = until;
      while (begin < end && covered[begin] === 1) {
        begin++;
      }
      while (end > begin && covered[end - 1] === 1) {
        end--;
      }
      if (begin < end) {
        parts.push({ begin, end });
      }
    };
    for (const { begin, special } of chosen) {
      addText(begin);
      parts.push(special.token);
      at = begin + special.text.length;
    }
    addText(bytes.length);
    return parts;
  }
}

function trieOf(tokens: readonly SpecialToken[]): Node {
  const root: Node = { next: new Map() };
  for (const special of tokens) {
    let node = root;
    for (let index = 0; index < special.text.length; index++) {
      const code = special.text.charCodeAt(index);
      let next = node.next.get(code);
      if (next === undefined) {
        next = { next: new Map() };
        node.next.set(code, next);
      }
      node = next;
    }
    if (node !== root) {
      node.special ??= special;
    }
  }
  return root;
}

/** Every place of every token, overlapping or not. */
function occurrences(root: Node, bytes: Uint8Array): Match[] {
  const found: Match[] = [];
  for (let begin = 0; begin < bytes.length; begin++) {
    let node = root.next.get(bytes[begin] as number);
    for (let at = begin + 1; node !== undefined; at++) {
      if (node.special) {
        found.push({ begin, special: node.special });
      }
      node = at < bytes.length ? node.next.get(bytes[at] as number) : undefined;
    }
  }
  return found;
}

/** Takes the bytes of a match, and the white space that it strips, unless some of its own are taken. */
function cover(covered: Uint8Array, bytes: Uint8Array, { begin, special }: Match): boolean {
  const end = begin + special.text.length;
  for (let at = begin; at < end; at++) {
    if (covered[at] === 1) {
      return false;
    }
  }
  covered.fill(1, begin, end);
  const isFreeSpace = (at: number) => covered[at] === 0 && isSpace(bytes[at] as number);
  if (special.stripsLeft) {
    for (let at = begin - 1; at >= 0 && isFreeSpace(at); at--) {
      covered[at] = 1;
    }
  }
  if (special.stripsRight) {
    for (let at = end; at < bytes.length && isFreeSpace(at); at++) {
      covered[at] = 1;
    }
  }
  return true;
}

/** As C's `isspace`. */
function isSpace(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
}
