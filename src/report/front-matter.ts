/**
 * The block between `---` lines at the start of a model card, by the Hugging Face Hub's rules
 * (https://huggingface.co/docs/hub/model-cards). What it would refuse is left out: the values come from strangers'
 * metadata.
 */
import { stringify } from "yaml";
import type { Evaluation } from "./evaluation.js";
import { cardLicense } from "./licenses.js";
import { isRepository } from "./origin.js";

/** Tasks of the Hub that a GGUF language model can have. */
const pipelineTags = [
  "text-generation",
  "image-text-to-text",
  "any-to-any",
  "audio-text-to-text",
  "video-text-to-text",
  "feature-extraction",
  "sentence-similarity",
  "text-ranking",
  "translation",
  "summarization",
];

/** Tags that say of the source's repository what is not so of the quantized model, or are set by the Hub. */
const foreignTags =
  /^(?:transformers|safetensors|pytorch|gguf|region:|license:|base_model:|doi:|endpoints_)/i;

/** A tag that needs no quoting anywhere. */
const plainTag = /^[\w][\w.+:/-]{0,63}$/;

const mostTags = 24;

/** ISO 639-1. */
const languages = new Set(
  `aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo
   es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg
   ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn
   no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta
   te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu multilingual code`.split(
    /\s+/,
  ),
);

/** The block with both lines. Values that YAML 1.1 would take for something else than text are quoted. */
export function renderFrontMatter(evaluation: Evaluation, quantizedBy: string): string {
  const yaml = stringify(frontMatter(evaluation, quantizedBy), { schema: "yaml-1.1", lineWidth: 0 });
  return `---\n${yaml}---\n`;
}

function frontMatter(evaluation: Evaluation, quantizedBy: string): Record<string, unknown> {
  const { source } = evaluation;
  const known = source.languages.map((code) => code.toLowerCase()).filter((code) => languages.has(code));
  const bases = (source.repository === undefined ? source.baseModels : [source.repository]).filter(
    isRepository,
  );
  return {
    ...(bases.length > 0 && {
      base_model: bases.length === 1 ? bases[0] : [...bases],
      base_model_relation: "quantized",
    }),
    ...cardLicense(source),
    ...(known.length > 0 && { language: [...new Set(known)] }),
    library_name: "gguf",
    pipeline_tag: source.tags.find((tag) => pipelineTags.includes(tag)) ?? "text-generation",
    quantized_by: quantizedBy,
    tags: tagsOf(evaluation),
  };
}

function tagsOf({ source, calibration, groups }: Evaluation): string[] {
  const own = [
    "gguf",
    ...(calibration === undefined ? [] : ["imatrix"]),
    ...(groups.some(({ role }) => role.startsWith("routed")) ? ["moe"] : []),
    "quantized",
    "lopsided",
    "llama.cpp",
  ];
  const others = source.tags.filter(
    (tag) => plainTag.test(tag) && !foreignTags.test(tag) && !pipelineTags.includes(tag),
  );
  return [...new Set([...own, ...others])].slice(0, mostTags);
}
