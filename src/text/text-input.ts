/** A text as a job takes it that runs a model over it: where it lies, or conversations that a template has rendered. */

/** A text that is read from its beginning to its end, to calibrate on. */
export interface PlainText {
  readonly path: string;
  /** Read control tokens in it as such; in conversations they always are. */
  readonly parseSpecial: boolean;
  /** Of a file of conversations: what is read in place of the file. */
  readonly rendered?: string | undefined;
}

/** A conversation as the model's template writes it. */
export interface RenderedConversation {
  readonly text: string;
  /** Where in `text` the assistant speaks, in characters: ranges [from, to) in order. */
  readonly spoken: readonly (readonly [from: number, to: number])[];
}

export interface TextInput {
  /** What it is called in results: `code`, or the file's name. */
  readonly name: string;
  readonly path: string;
  /** Read control tokens in it as such; conversations always are. */
  readonly parseSpecial: boolean;
  /** Of a file of conversations: what is read in place of the file. */
  readonly conversations?: readonly RenderedConversation[] | undefined;
}
