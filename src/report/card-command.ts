/** The contracts of `card` and `report`. */
import { defineCommand, type OptionsOf } from "../contract/command.js";
import { option } from "../contract/option.js";
import { text } from "../contract/values.js";

export const madeFolder = option({
  isArgument: true,
  required: true,
  schema: text,
  about: "folder that make filled",
});

export const quantizedBy = option({
  value: "<name>",
  schema: text,
  about: "who made it, for the card: your name on Hugging Face",
  unset: "lopsided",
});

export const cardCommand = defineCommand({
  name: "card",
  summary: "Write the model card, README.md for Hugging Face, from a folder's evaluation.json.",
  options: { folder: madeFolder, quantizedBy },
});

export const reportCommand = defineCommand({
  name: "report",
  summary: "Write the report, one HTML file with charts, from a folder's evaluation.json.",
  options: { folder: madeFolder },
});

export type CardOptions = OptionsOf<typeof cardCommand>;
export type ReportOptions = OptionsOf<typeof reportCommand>;
