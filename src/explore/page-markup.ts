/** What stands on the page before its script runs. */

/** The body of the page. */
export const markup = `
<header>
<p class="brand">Lopsided explorer</p>
<h1>What fits my card, and what do I lose?</h1>
<p class="lead" id="model">A mixture-of-experts model can be made almost any size. Move the slider and see what each size costs, before anything is downloaded.</p>
</header>
<main>
<section id="open" aria-label="Model">
<form id="address-form">
<label for="address">Model</label>
<div class="row"><input id="address" name="address" type="text" spellcheck="false" autocomplete="off" placeholder="hf://owner/repository/model-BF16.gguf"><button type="submit">Open</button></div>
</form>
<p class="note">A GGUF file on the Hugging Face Hub, of which only the header is read (some megabytes). Or drop a GGUF file, or its beginning, anywhere on this page: <label class="file">choose a file<input id="file" type="file" accept=".gguf,.json"></label>. Nothing is sent anywhere.</p>
</section>
<p id="problem" class="problem" role="alert" hidden></p>
<p id="remark" class="note" hidden></p>
<div id="answers" hidden>
<section class="panel" aria-label="Memory">
<fieldset class="machines"><legend>My machine</legend><div id="kinds" class="choices"></div><div id="sizes" class="choices"></div></fieldset>
<label for="amount" class="amount"><span id="amount-label">Memory</span> <output id="amount-text" for="amount"></output></label>
<input id="amount" type="range">
<dl class="key" id="figures"></dl>
<p id="verdict" role="status" aria-live="polite"></p>
<div id="memory"></div>
</section>
<section aria-labelledby="curve-title"><h2 id="curve-title">Every size, and what it costs</h2>
<p class="lead">Divergence says how differently the small model chooses its words: 0 is the original; below 0.01 hardly anybody notices, above 0.2 it shows. The line is the best that Lopsided finds for each size; triangles are llama.cpp's usual mixtures, diamonds Lopsided's presets. <span id="made" hidden></span></p>
<figure><div id="curve"></div><details><summary>Values</summary><div id="curve-table"></div></details></figure></section>
<section aria-labelledby="bits-title"><h2 id="bits-title">Where the bits go</h2>
<p class="lead">Each square is one tensor of one layer; darker means more bits for each weight.</p>
<figure><ul class="legend" id="bits-legend"></ul><div id="bits"></div><details><summary>Values</summary><div id="bits-table"></div></details></figure></section>
<section aria-labelledby="recipe-title"><h2 id="recipe-title">Make it, run it</h2>
<p class="lead">Save the recipe, then run these on a computer that has the model, <a href="https://www.npmjs.com/package/lopsided">Lopsided</a> and llama.cpp.</p>
<div class="code"><div class="code-head"><span>Commands</span><button type="button" data-copy="commands">Copy</button></div><pre tabindex="0"><code id="commands"></code></pre></div>
<div class="code"><div class="code-head"><span>recipe.yaml</span><button type="button" data-copy="recipe">Copy</button><button type="button" id="download">Download</button></div><pre tabindex="0"><code id="recipe"></code></pre></div>
<p><button type="button" id="copy-link">Copy a link to this</button> <span id="copied" role="status" aria-live="polite"></span></p></section>
<section aria-labelledby="settings-title"><h2 id="settings-title">Settings</h2>
<form id="settings" class="settings">
<label>Context, tokens for each conversation<select id="context"></select></label>
<label>Conversations at once<input id="sequences" type="number" min="1" max="1024" step="1"></label>
<label>Cached keys<select id="key-type"></select></label>
<label>Cached values<select id="value-type"></select></label>
<label>Fast kernels on<select id="backend"></select></label>
<label class="check"><input id="importance" type="checkbox"> with an importance matrix (recommended; types below 2.6 bits need it)</label>
</form>
<details id="pins-details"><summary>Pin types by role</summary><p class="note">Only these types for a role; several are separated by commas.</p><div id="pins" class="settings"></div></details>
</section>
<section aria-labelledby="basis-title"><h2 id="basis-title">What the prediction rests on</h2><p id="basis"></p></section>
</div>
</main>
<footer>Made by Lopsided. The page reads headers only and sends nothing anywhere.</footer>
`;
