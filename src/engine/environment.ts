/**
 * What the engine's process is given of the environment: what llama.cpp, the drivers of graphics processors and the
 * system's own libraries read, and nothing else. A model's header is parsed by native code there, so nothing that
 * opens a door elsewhere (tokens, passwords, keys, proxies with credentials, agents' sockets) may be in its memory.
 */

/** Variables by their whole name, with who reads them. */
const names: ReadonlySet<string> = new Set([
  // Where shared libraries, drivers and programs lie.
  "PATH",
  "LD_LIBRARY_PATH",
  "DYLD_LIBRARY_PATH",
  "DYLD_FALLBACK_LIBRARY_PATH",
  // Where drivers keep compiled kernels, and everybody temporary files.
  "HOME",
  "XDG_CACHE_HOME",
  "TMPDIR",
  "TEMP",
  "TMP",
  // How the Vulkan loader finds its drivers.
  "XDG_CONFIG_DIRS",
  "XDG_CONFIG_HOME",
  "XDG_DATA_DIRS",
  "XDG_DATA_HOME",
  // The same on Windows, where many libraries do not load without.
  "SYSTEMROOT",
  "SYSTEMDRIVE",
  "WINDIR",
  "PROGRAMDATA",
  "PROGRAMFILES",
  "LOCALAPPDATA",
  "APPDATA",
  "USERPROFILE",
  // NVIDIA's container runtime and driver, without the prefix, under which NVIDIA_API_KEY stands too.
  "NVIDIA_VISIBLE_DEVICES",
  "NVIDIA_DRIVER_CAPABILITIES",
  "NVIDIA_TF32_OVERRIDE",
  // How texts are encoded, and the clock.
  "LANG",
  "LANGUAGE",
  "TZ",
  // Ours.
  "LOPSIDED_NO_SIMD",
]);

/**
 * Variables by how they begin: llama.cpp's backends; CUDA; AMD's HIP, runtime and HSA; Vulkan and Mesa's drivers;
 * Metal; OpenMP's runtimes (threads and where they run); locales.
 */
const prefixes = [
  "GGML_",
  "CUDA_",
  "HIP_",
  "ROCR_",
  "HSA_",
  "GPU_",
  "AMD_",
  "VK_",
  "MESA_",
  "RADV_",
  "MTL_",
  "OMP_",
  "GOMP_",
  "KMP_",
  "LC_",
];

/** Words in the names of variables that hold secrets. They are never given, whatever their beginning. */
const secret = /TOKEN|SECRET|PASS|PWD|CREDENTIAL|AUTH|KEY|COOKIE/;

/** The part of `environment` that the engine's process gets. On Windows names are in any case. */
export function engineEnvironment(
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Record<string, string> {
  const given = Object.entries(environment).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && isAllowed(entry[0].toUpperCase()),
  );
  return {
    ...Object.fromEntries(given),
    // Without this a failed assertion starts a debugger to print a trace.
    GGML_NO_BACKTRACE: "1",
  };
}

function isAllowed(name: string): boolean {
  return (names.has(name) || prefixes.some((prefix) => name.startsWith(prefix))) && !secret.test(name);
}
