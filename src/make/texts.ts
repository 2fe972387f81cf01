/** The texts of a run: those that were given, or those that ship with the package, as the model's template writes them. */
import { basename } from "node:path";
import { writeTextFile } from "../bytes/atomic-write.js";
import { UsageError } from "../errors.js";
import { ChatTemplate, findChatTemplate } from "../generate/chat-template.js";
import {
  asPlainText,
  type ConversationLine,
  isConversations,
  readConversations,
  renderConversations,
} from "../generate/rendered-conversations.js";
import type { Metadata } from "../gguf/metadata.js";
import { type NamedText, namedTexts } from "../text/named-text.js";
import { readShippedText, shippedCalibration, shippedEvaluationTexts } from "../text/shipped-texts.js";
import type { MakeFolder } from "./folder.js";
import type { ResolvedMakeOptions } from "./make-command.js";
import { measuresSolution } from "./options.js";

/** A text, and whether special tokens in it are meant as such. */
export type CalibrationText = NamedText & { readonly parseSpecial: boolean };

export interface MakeTexts {
  readonly calibration: CalibrationText;
  /** What the errors of a first quantization are measured on, if they are; not in the calibration text. */
  readonly heldOut: CalibrationText | undefined;
  /** Undefined if nothing is measured. */
  readonly evaluation: readonly NamedText[] | undefined;
  /** Most chunks of each evaluation text. */
  readonly evaluateChunks: number;
}

/** Chunks of each shipped evaluation text at most: six of them take about as long as one text of 200. */
const mostShippedChunks = 40;

/** Of the shipped mix every so manieth piece is held out, where something is measured on what calibration has not seen. */
const heldOutEvery = 8;

/** A line of the shipped mix. */
type MixLine = { readonly kind: string } & ({ readonly text: string } | ConversationLine);

/** Writes what ships into the work folder, unless other texts were given. */
export async function prepareTexts(
  options: ResolvedMakeOptions,
  folder: MakeFolder,
  { metadata, model }: { readonly metadata: Metadata; readonly model: string },
): Promise<MakeTexts> {
  const { calibration, evaluate, evaluateChunks, parseSpecial = false } = options;
  const holdsOut = measuresSolution(options);
  await checkConversations(options, { metadata, name: model });
  const needsRendering = calibration === undefined || evaluate === undefined || holdsOut;
  const source = needsRendering ? findChatTemplate(metadata, model) : undefined;
  const template = source && new ChatTemplate(source);
  try {
    return {
      calibration:
        calibration === undefined
          ? await writeMix(folder, template, "calibration-mix.txt", (line) => !holdsOut || !isHeldOut(line))
          : { name: basename(calibration), path: calibration, parseSpecial },
      heldOut: holdsOut ? await writeMix(folder, template, "held-out-mix.txt", isHeldOut) : undefined,
      evaluation: await evaluationTexts(evaluate, folder, template),
      evaluateChunks: evaluate === undefined ? Math.min(evaluateChunks, mostShippedChunks) : evaluateChunks,
    };
  } finally {
    template?.close();
  }
}

/** Finds out before the hours of work whether the model's template takes the conversations that were given. */
async function checkConversations(
  { calibration, evaluate, evaluateChunks, signal }: ResolvedMakeOptions,
  model: { readonly metadata: Metadata; readonly name: string },
): Promise<void> {
  if (calibration !== undefined) {
    await asPlainText(calibration, model, { signal });
  }
  for (const { path } of await namedTexts(evaluate || [])) {
    if (isConversations(path)) {
      const conversations = await readConversations(path, evaluateChunks);
      await renderConversations(conversations, model.metadata, model.name, signal);
    }
  }
}

async function evaluationTexts(
  evaluate: ResolvedMakeOptions["evaluate"],
  folder: MakeFolder,
  template: ChatTemplate | undefined,
): Promise<NamedText[] | undefined> {
  if (evaluate !== undefined) {
    return evaluate === false ? undefined : await namedTexts(evaluate);
  }
  const texts: NamedText[] = [];
  for (const file of shippedEvaluationTexts) {
    const text = await readShippedText(file);
    const shown = isConversations(file) ? await acceptedLines(text, template) : text;
    if (shown !== "") {
      const path = folder.workFile(`evaluation-${file}`);
      await writeTextFile(path, shown);
      texts.push({ name: file.replace(/\.\w+$/, ""), path });
    }
  }
  return texts;
}

function isHeldOut(line: number): boolean {
  return line % heldOutEvery === 0;
}

/** Lines of the mix as one text: conversations as the model's template writes them, or plainly if it has none. */
async function writeMix(
  folder: MakeFolder,
  template: ChatTemplate | undefined,
  file: string,
  isWanted: (line: number) => boolean,
): Promise<CalibrationText> {
  const parts: string[] = [];
  for (const [number, line] of linesOf(await readShippedText(shippedCalibration)).entries()) {
    const mix = isWanted(number) ? (JSON.parse(line) as MixLine) : undefined;
    const text = mix && ("text" in mix ? mix.text : await rendered(mix, template));
    if (text !== undefined) {
      parts.push(text);
    }
  }
  const path = folder.workFile(file);
  await writeTextFile(path, `${parts.join("\n\n")}\n`);
  return { name: "Lopsided's calibration mix", path, parseSpecial: true };
}

/** The conversations that the template accepts: some know no tools, or no system message. */
async function acceptedLines(text: string, template: ChatTemplate | undefined): Promise<string> {
  const lines: string[] = [];
  for (const line of template ? linesOf(text) : []) {
    if ((await rendered(JSON.parse(line) as ConversationLine, template)) !== undefined) {
      lines.push(`${line}\n`);
    }
  }
  return lines.join("");
}

async function rendered(
  { messages, tools }: ConversationLine,
  template: ChatTemplate | undefined,
): Promise<string | undefined> {
  if (template === undefined) {
    return messages.map(({ role, content }) => `${role}: ${String(content)}`).join("\n");
  }
  try {
    return await template.render({ messages, tools, addGenerationPrompt: false });
  } catch (error) {
    if (error instanceof UsageError) {
      return undefined;
    }
    throw error;
  }
}

function linesOf(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}
