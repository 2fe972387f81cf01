/** A part of the report. */
export interface Section {
  readonly id: string;
  readonly title: string;
  /** How to read it, in plain text. */
  readonly lead: string;
  /** HTML. */
  readonly body: string;
}
