/** `publish`: the files of a folder that `make` filled, on the Hugging Face Hub. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ResolvedOptionsOf } from "../contract/command.js";
import { UsageError } from "../errors.js";
import { parseHubAddress } from "../remote/hub-address.js";
import { type UploadedFile, uploadFiles } from "../remote/upload.js";
import { version } from "../version.js";
import { MakeFolder } from "./folder.js";
import { type PublishOptions, publishCommand } from "./publish-command.js";

export interface PublishResult {
  readonly repository: string;
  readonly revision: string;
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
  readonly bytes: number;
  /** Absent in a dry run. */
  readonly commit?: string;
  readonly url?: string;
}

/** What of a folder is for others; nothing else in it is uploaded. */
const publishable =
  /^(?:[^.].*\.gguf|imatrix\.dat|recipe\.yaml|evaluation\.json|README\.md|report\.html|explorer\.html|LICENSE(?:\.\w+)?)$/;

/**
 * Uploads the folder's files in one commit. Throws a UsageError if the folder is not finished or has no model or card,
 * if the target is no repository or there is no token; other errors: see `uploadFiles`.
 */
export async function publish(given: PublishOptions): Promise<PublishResult> {
  const options = publishCommand.read(given);
  const { repository, revision } = targetOf(options);
  await checkFolder(options.folder);
  const folder = await MakeFolder.open(options.folder);
  try {
    const [unfinished] = folder.state.stagesUnderWay();
    if (unfinished !== undefined) {
      throw new UsageError(
        `${options.folder}: its stage "${unfinished}" is not finished; run the same "lopsided make" again first.`,
        { folder: options.folder },
      );
    }
    const files = await filesOf(options.folder);
    const plan = {
      repository,
      revision,
      files: files.map(({ path, bytes }) => ({ path, bytes })),
      bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    };
    if (options.dryRun) {
      return plan;
    }
    const { private: isPrivate, onProgress } = options;
    const title = `Upload ${files.length} files made by Lopsided ${version}`;
    const request = { repository, revision, isPrivate, title, files, onProgress };
    return { ...plan, ...(await uploadFiles(request, options)) };
  } finally {
    await folder.close();
  }
}

function targetOf({ repository: target, revision }: ResolvedOptionsOf<typeof publishCommand>): {
  repository: string;
  revision: string;
} {
  const address = parseHubAddress(target);
  if (address.path !== undefined) {
    throw new UsageError(`${target}: names a file; name the repository, hf://${address.repository}.`, {
      target,
    });
  }
  if (revision !== undefined && address.revision !== undefined && revision !== address.revision) {
    throw new UsageError(`${target}: names another revision than \`revision\`, ${revision}; use one.`, {
      target,
    });
  }
  return { repository: address.repository, revision: revision ?? address.revision ?? "main" };
}

/** A folder that has no card or no model is not one of `make`, or not yet. */
async function checkFolder(folder: string): Promise<void> {
  const names: readonly string[] = await readdir(folder).catch(() => []);
  const hasModel = names.some(
    (name) => publishable.test(name) && name.endsWith(".gguf") && name !== "imatrix.gguf",
  );
  if (hasModel && names.includes("README.md")) {
    return;
  }
  throw new UsageError(
    `${folder}: has no ${hasModel ? "README.md" : "model"} to publish; run "lopsided make" first.`,
    { folder },
  );
}

async function filesOf(folder: string): Promise<UploadedFile[]> {
  const files: UploadedFile[] = [];
  for (const path of (await readdir(folder)).filter((name) => publishable.test(name)).sort()) {
    const source = join(folder, path);
    const found = await stat(source);
    if (found.isFile()) {
      files.push({ path, source, bytes: found.size });
    }
  }
  return files;
}
