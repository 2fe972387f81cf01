/** The explorer's page: opens a model, answers while the slider moves, and keeps in the address what was asked. */
import * as z from "zod";
import { LopsidedError, UsageError } from "../../errors.js";
import { Architecture } from "../../model/architecture.js";
import { type ExplorableModel, explorableModel, type OpenedModel } from "../explorable-model.js";
import { Explorer } from "../explorer.js";
import { type Reference, references } from "../references.js";
import { defaultSettings, type Settings } from "../settings.js";
import { startButtons } from "./buttons.js";
import { showAmount, showPins, showSettings, startControls } from "./controls.js";
import { forgetWidths } from "./draw.js";
import { byId } from "./elements.js";
import { readMeasurement } from "./measurements.js";
import { SolverClient, Superseded } from "./solver-client.js";
import { isHubAddress, openAddress, openFile, urlOf } from "./sources.js";
import {
  addressParameters,
  addressSettings,
  type Opened,
  ownModel,
  pageData,
  sentence,
  writeAddress,
} from "./state.js";
import { showAnswer, showBasis, showCurve, showModel } from "./view.js";

// The page's policy allows no code made of text.
z.config({ jitless: true });

/** The slider rests for so long before the solver is asked, in milliseconds. */
const restMs = 180;

const data = pageData();
const presets = new Map(data.presets);
const solver = new SolverClient(
  byId("solver-script").textContent ?? "",
  byId("solver-wasm").textContent ?? "",
);

let opened: Opened | undefined;
let settings: Settings = defaultSettings;
let explorer: Explorer | undefined;
let points: readonly Reference[] = [];
let asked = 0;
let rest: ReturnType<typeof setTimeout> | undefined;

function showProblem(error: unknown): void {
  const place = byId("problem");
  place.textContent = sentence(error);
  place.hidden = false;
}

function hideProblem(): void {
  byId("problem").hidden = true;
}

/** Takes a change of settings; all but the amount of memory make another explorer. */
function change(changed: Partial<Settings>): void {
  const next = { ...settings, ...changed };
  const isAmount = Object.keys(changed).every((name) => name === "gigabytes");
  settings = next;
  if (isAmount && explorer !== undefined) {
    showAmount(settings, explorer);
    void answer();
  } else {
    void explore();
  }
}

/** Makes the explorer of the open model and the settings, and shows all that follows from them. */
async function explore(): Promise<void> {
  if (opened === undefined) {
    return;
  }
  try {
    settings = withinModel(settings, opened.model);
    explorer = new Explorer(opened.model, settings, opened.knowledge);
    points = references(explorer, presets, opened.knowledge.made);
    byId("answers").hidden = false;
    showModel(explorer);
    showRemark(explorer);
    showSettings(settings, explorer, change);
    showPins(explorer, change);
    showBasis(explorer, opened.knowledge);
    await answer();
  } catch (error) {
    showProblem(error);
  }
}

/** The usual context may be longer than what the model was made for; one that was asked for stays. */
function withinModel(asked: Settings, { metadata }: ExplorableModel): Settings {
  const { contextLength } = new Architecture(metadata);
  const isUsual = asked.context === defaultSettings.context;
  return isUsual && contextLength < asked.context ? { ...asked, context: contextLength } : asked;
}

function showRemark({ architecture }: Explorer): void {
  const remark = byId("remark");
  remark.hidden = architecture.experts > 0;
  remark.textContent =
    "This model has no experts: all its weights work on every token, so that there is less to gain by giving them different types.";
}

/** Shows the frontier's answer at once, and the solver's when the slider rests. */
async function answer(): Promise<void> {
  if (explorer === undefined) {
    return;
  }
  const current = explorer;
  const mine = ++asked;
  clearTimeout(rest);
  const started = performance.now();
  const atRest = (then: () => void) => {
    rest = setTimeout(() => {
      // Browsers allow only so many changes of the address in a time.
      writeAddress(settings, opened?.address);
      then();
    }, restMs);
  };
  try {
    const found = await current.approximate(settings.gigabytes);
    if (mine !== asked) {
      return;
    }
    hideProblem();
    byId("verdict").hidden = false;
    document.body.classList.remove("too-small");
    showAnswer(current, points, found);
    document.body.dataset.gigabytes = String(settings.gigabytes);
    document.body.dataset.milliseconds = (performance.now() - started).toFixed(1);
    atRest(() => void solve(current, mine));
  } catch (error) {
    if (mine === asked) {
      showTooSmall(current, error);
      atRest(() => {});
    }
  }
}

async function solve(current: Explorer, mine: number): Promise<void> {
  try {
    const found = await current.exact(settings.gigabytes, solver.allocate);
    if (mine === asked) {
      showAnswer(current, points, found);
    }
  } catch (error) {
    if (mine === asked && !(error instanceof Superseded)) {
      showProblem(error);
    }
  }
}

/** The budget is below the smallest model: says so, and shows the curve without a choice. */
function showTooSmall(current: Explorer, error: unknown): void {
  showProblem(error instanceof UsageError ? tooSmall(current, error) : error);
  document.body.classList.add("too-small");
  document.body.dataset.exact = "none";
  showCurve(current, points, undefined);
}

function tooSmall(current: Explorer, error: UsageError): Error {
  const { least } = current.range();
  const { kind, gigabytes, context, sequences } = settings;
  if (error.details.smallest === undefined && error.details.memory === undefined) {
    return error;
  }
  if (kind === "file") {
    return new UsageError(
      `A file of ${gigabytes} GB is too small: with these settings the smallest has about ${least} GB. Move the slider there, or allow smaller types.`,
    );
  }
  const conversations = sequences === 1 ? "" : ` for each of ${sequences} conversations`;
  return new UsageError(
    `A ${gigabytes} GB ${kind} is too small: with ${context.toLocaleString("en")} tokens of context${conversations} this model needs at least ${least} GB. Move the slider there, choose a shorter context or smaller cache types, or a smaller model.`,
  );
}

/** Opens a model, and shows why not if it cannot be. */
async function open(load: () => Promise<OpenedModel>, address?: string): Promise<void> {
  document.body.dataset.exact = "opening";
  try {
    const model = explorableModel(await load(), data.version);
    opened = { model, knowledge: {}, address };
    hideProblem();
    await explore();
  } catch (error) {
    document.body.dataset.exact = "none";
    showProblem(error);
  }
}

async function takeFile(file: File): Promise<void> {
  if (!/\.json$/i.test(file.name)) {
    await open(() => openFile(file));
    return;
  }
  try {
    if (opened === undefined) {
      throw new UsageError(`${file.name}: open the model first that it was measured on.`);
    }
    const measured = await readMeasurement(file, opened.model);
    opened = { ...opened, knowledge: { ...opened.knowledge, ...measured } };
    await explore();
  } catch (error) {
    showProblem(error);
  }
}

function startOpening(): void {
  const address = byId<HTMLInputElement>("address");
  byId("address-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const { value } = address;
    void open(() => openAddress(value), value.trim());
  });
  byId<HTMLInputElement>("file").addEventListener("change", ({ target }) => {
    const [file] = (target as HTMLInputElement).files ?? [];
    if (file !== undefined) {
      void takeFile(file);
    }
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", () => document.body.classList.remove("dropping"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const file = event.dataTransfer?.files[0];
    if (file !== undefined) {
      void takeFile(file);
    }
  });
}

/** Shows what the address says. */
async function start(): Promise<void> {
  let problem: LopsidedError | undefined;
  try {
    settings = addressSettings(data);
  } catch (error) {
    if (!(error instanceof LopsidedError)) {
      throw error;
    }
    settings = defaultSettings;
    problem = error;
  }
  const address = addressParameters().get("model");
  if (address === null) {
    opened = await ownModel(data);
    await explore();
  } else {
    await openLinked(address);
  }
  if (problem !== undefined) {
    showProblem(problem);
  }
}

/** Opens the model that a link names if it is the Hub's; whom else to ask is the user's decision. */
async function openLinked(address: string): Promise<void> {
  byId<HTMLInputElement>("address").value = address;
  try {
    if (isHubAddress(address)) {
      await open(() => openAddress(address), address);
    } else {
      throw new UsageError(
        `The link names ${new URL(urlOf(address)).host}, which is asked for nothing before you agree: press Open to read its header.`,
      );
    }
  } catch (error) {
    showProblem(error);
  }
}

startControls(change);
startButtons();
startOpening();
addEventListener("hashchange", () => void start());
let width = innerWidth;
addEventListener("resize", () => {
  if (width !== innerWidth) {
    width = innerWidth;
    forgetWidths();
    void answer();
  }
});
void start();
