/** Chat templates of a checkpoint, in the three places where they are kept. */

import type { Folder } from "../../../bytes/folder.js";
import { readJsonText } from "../../../bytes/json.js";
import type { Metadata } from "../../../gguf/metadata.js";
import { MetadataBuilder } from "../builder.js";
import { Fields } from "../fields.js";

/** Largest template read. Real ones have some ten kilobytes. */
const maxTemplateBytes = 4_194_304;

const subfolder = "additional_chat_templates";

interface NamedTemplate {
  readonly name: string;
  readonly template: string;
}

/**
 * The `tokenizer.chat_template*` keys: from tokenizer_config.json (one template or a list of named ones), else
 * from chat_template.jinja with the named ones beside it, else from chat_template.json.
 */
export async function chatTemplateMetadata(
  folder: Folder,
  tokenizerConfig: Fields | undefined,
): Promise<Metadata> {
  const templates =
    templatesIn(tokenizerConfig) ??
    (await templateFiles(folder)) ??
    templatesIn(await Fields.read(folder, "chat_template.json")) ??
    [];
  const builder = new MetadataBuilder();
  const named = templates.filter(({ name }) => name !== "default" && name !== "");
  for (const { name, template } of named) {
    builder.string(`tokenizer.chat_template.${name}`, template);
  }
  return builder
    .strings(
      "tokenizer.chat_templates",
      named.map(({ name }) => name),
    )
    .string("tokenizer.chat_template", templates.find(({ name }) => name === "default")?.template).entries;
}

function templatesIn(file: Fields | undefined): readonly NamedTemplate[] | undefined {
  const value = file?.value("chat_template");
  if (!file || value === undefined) {
    return undefined;
  }
  if (typeof value === "string") {
    return [{ name: "default", template: value }];
  }
  return file.objects("chat_template").flatMap((choice) => {
    const template = choice.string("template");
    return template === undefined ? [] : [{ name: keyName(choice.string("name") ?? ""), template }];
  });
}

async function templateFiles(folder: Folder): Promise<readonly NamedTemplate[] | undefined> {
  const main = await readTemplate(folder, "chat_template.jinja");
  if (main === undefined) {
    return undefined;
  }
  const templates = [{ name: "default", template: main }];
  for (const file of await folder.list(subfolder)) {
    if (!file.endsWith(".jinja")) {
      continue;
    }
    const template = await readTemplate(folder, `${subfolder}/${file}`);
    if (template !== undefined) {
      templates.push({ name: keyName(file.slice(0, -".jinja".length)), template });
    }
  }
  return templates;
}

async function readTemplate(folder: Folder, file: string): Promise<string | undefined> {
  const source = await folder.open(file);
  if (!source) {
    return undefined;
  }
  try {
    return (await readJsonText(source, maxTemplateBytes)).replaceAll(/\r\n?/g, "\n");
  } finally {
    await source.close();
  }
}

/** A template's name as part of a key: letters and digits only. */
function keyName(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9]/g, "_");
}
