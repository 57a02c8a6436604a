// Time and memory: of the export, and of the files in ONNX Runtime.

function Bars({ rows, text, label }) {
  const most = Math.max(...rows.map(([, value]) => value));
  return html`<${Table} label=${label} heads=${['Step', 'Time', 'Compared']} numbers=${[1]}
    rows=${rows.map(([name, value]) => [name, text(value),
      html`<span class="bar wide" aria-hidden="true"><span class="k1"
      style=${`width:${most > 0 ? (100 * value) / most : 0}%`}></span></span>`])} />`;
}

const percentiles = [['min', 'shortest'], ['p50', 'half of the runs'], ['p90', '90 %'], ['p99', '99 %'],
  ['max', 'longest']];

function in_words(file) {
  const { p50, p99 } = file.latency_seconds;
  return `${file.file}: half of the runs take at most ${seconds(p50)}, 99 % at most ${seconds(p99)}`;
}

function BenchPlot({ files, width }) {
  const row = 46;
  const height = files.length * row + 30;
  const most = Math.max(...files.map((file) => file.latency_seconds.max)) || 1;
  const x = (value) => 8 + (value / most) * (width - 24);
  const step = 10 ** Math.floor(Math.log10(most / 3));
  const unit = [1, 2, 5, 10].map((factor) => factor * step).find((size) => most / size <= (width > 520 ? 8 : 4));
  const ticks = Array.from({ length: Math.floor(most / unit) + 1 }, (_, i) => i * unit);
  return html`<svg class="bench" width=${width} height=${height} viewBox="0 0 ${width} ${height}" role="img"
      aria-label=${`Times of runs. ${files.map(in_words).join('; ')}`}>
    ${ticks.map((tick) => html`<g><line class="tick" x1=${x(tick)} x2=${x(tick)} y1="0" y2=${height - 26} />
      <text class="axis" x=${x(tick)} y=${height - 10} text-anchor=${tick === 0 ? 'start' : 'middle'}>${tick === 0
        ? '0' : seconds(tick)}</text></g>`)}
    ${files.map((file, i) => {
    const time = file.latency_seconds;
    const y = i * row + 30;
    return html`<g><title>${percentiles.map(([key, name]) => `${name}: ${seconds(time[key])}`).join('; ')}</title>
      <text class="mono" x="8" y=${y - 14}>${file.file}</text>
      <line class="span" x1=${x(time.min)} x2=${x(time.max)} y1=${y} y2=${y} />
      <rect class="k1" x=${x(time.min)} y=${y - 7} width=${Math.max(1, x(time.p50) - x(time.min))} height="14" />
      <rect class="k2" x=${x(time.p50)} y=${y - 7} width=${Math.max(1, x(time.p90) - x(time.p50))} height="14" />
      <rect class="k4" x=${x(time.p90)} y=${y - 5} width=${Math.max(1, x(time.p99) - x(time.p90))} height="10" />
      <line class="span" x1=${x(time.max)} x2=${x(time.max)} y1=${y - 6} y2=${y + 6} /></g>`;
  })}</svg>`;
}

function Bench({ bench }) {
  const [ref, width] = useWidth(800);
  const good = bench.files.filter((file) => file.ok);
  const bad = bench.files.filter((file) => !file.ok);
  const sizes = [...new Set(good.map((file) => Object.entries(file.sizes).map(([name, size]) =>
    `${name} ${size}`).join(', ')))];
  return html`<div ref=${ref}><h3>In ONNX Runtime</h3>
    <p>On ${bench.provider}, ${bench.threads === 0 ? 'with as many threads as it chooses'
      : plural(bench.threads, 'thread')}. ${sizes.length > 0 && sizes[0] ? `Sizes: ${sizes.join('; ')}.` : ''}</p>
    ${good.length > 0 && html`<${BenchPlot} files=${good} width=${width} />
    <ul class="legend">${[['k1', 'the faster half of the runs'], ['k2', 'up to 90 %'],
      ['k4', 'up to 99 %']].map(([name, text]) => html`<li>
      <span class="swatch ${name}" aria-hidden="true"></span> ${text}</li>`)}</ul>
    <${Table} label="Times of runs" numbers=${[1, 2, 3, 4, 5, 6, 7, 8, 9]}
      heads=${['File', 'runs', 'shortest', 'p50', 'p90', 'p99', 'longest', 'load', 'memory', 'tokens/s']}
      rows=${good.map((file) => [html`<${Path}>${file.file}<//>`, file.runs,
        ...percentiles.map(([key]) => seconds(file.latency_seconds[key])),
    seconds(file.load_seconds), bytes(file.peak_memory_bytes), file.tokens_per_second
      ? Math.round(file.tokens_per_second).toLocaleString('en') : '–'])} />`}
    ${bad.length > 0 && html`<ul class="bad">${bad.map((file) =>
      html`<li><${Path}>${file.file}<//>: ${file.error}</li>`)}</ul>`}</div>`;
}

function Times() {
  const rows = [];
  if (exported) rows.push(['export', exported.export_seconds]);
  for (const check of results.validation) rows.push([html`validation
    of <${Path}>${check.file}<//>${number_of(check)}`, check.seconds]);
  return html`${rows.length > 0 ? html`<h3>Of the export</h3>${data.peak_memory_bytes > 0
    && html`<p>At most <strong>${bytes(data.peak_memory_bytes)}</strong> of memory, for everything together.</p>`}
      <${Bars} rows=${rows} text=${seconds} label="Times of the export" />` : null}
    ${results.bench ? html`<${Bench} bench=${results.bench} />`
    : html`<p class="muted">Times of the files in ONNX Runtime: <code>onnxport bench OUT --report
      page.html</code></p>`}`;
}
