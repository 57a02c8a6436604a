// The page.

function Page() {
  const name = exported ? exported.model_type : data.files.length === 1 ? data.files[0].file : 'ONNX files';
  const title = exported ? `${name} for ${exported.task}` : name;
  document.title = `${title} · onnxport report`;
  const failed = results.validation.some((check) => !check.passed);
  const sections = [
    ['files', 'Model and files', html`<${About} /><${Files} />`],
    ['bytes', 'Bytes by module', html`<${BytesByModule} />`],
    ['picture', 'How the components feed each other', html`<${Picture} />`],
    ['interface', 'Inputs and outputs', html`<${Interface} />`],
    ['validation', 'How exact it is', html`<${Validation} />`],
    ['times', 'Time and memory', html`<${Times} />`],
    ['graph', 'The graph by module', html`<${GraphView} />`],
  ];
  return html`<header><h1>${title}</h1><p>${data.model
    && html`<${Path}>${data.model}<//>, `}${plural(data.files.length, 'file')},
      ${' '}${bytes(sum(data.files, (file) => file.bytes) + sum([...data_files.values()], (one) => one.size))}
      ${' '}${results.validation.length === 0 ? html`<span class="tag">not validated</span>` : failed
        ? html`<span class="tag bad">✗ validation failed</span>`
        : html`<span class="tag pass">✓ validated</span>`}</p>
    <nav aria-label="Sections"><ul>${sections.map(([id, text]) =>
      html`<li><a href="#${id}">${text}</a></li>`)}</ul></nav></header>
  <main>
    <section aria-labelledby="short" class="answers"><h2 id="short">In short</h2>
      <div class="columns"><div><h3>Which layers take the bytes?</h3><${BytesAnswer} file=${largest_file()} /></div>
      <div><h3>Which output is the least exact, and why?</h3><${ExactAnswer} /></div>
      <div><h3>What must a client feed?</h3><${FeedAnswer}
        files=${components.filter((one) => !merged_parts.has(one.name)).map((one) => one.files[0])} /></div></div>
    </section>
    ${sections.map(([id, text, content]) => html`<section id=${id} aria-labelledby="${id}-title"><h2
      id="${id}-title">${text}</h2>${content}</section>`)}
    <p class="made">Made by onnxport ${data.onnxport}. The page loads nothing from the network.</p>
  </main>`;
}

try {
  render(html`<${Page} />`, document.getElementById('page'));
} catch (error) {  // results that somebody changed, or of another version
  document.getElementById('page').textContent = `This page cannot show its data: ${error.message}`;
  throw error;
}
