// Inputs and outputs of the components, for a client.

// Names of tensors that have one meaning everywhere, by pattern.
const meanings = [
  [/^input_ids$/, 'ids of tokens, as the tokenizer makes them'],
  [/^decoder_input_ids$/, 'ids of the tokens that were generated so far, or only the last one with a cache'],
  [/^attention_mask$|^encoder_attention_mask$/, '1 for real tokens, 0 for padding'],
  [/^decoder_attention_mask$/, '1 for real tokens of the decoder, 0 for padding'],
  [/^token_type_ids$/, '0 for the first text, 1 for the second one'],
  [/^position_ids$/, 'position of each token: 0, 1, 2, … without padding'],
  [/^inputs_embeds$/, 'vectors of tokens instead of their ids'],
  [/^pixel_values/, 'images, resized and normalized as the image processor does it'],
  [/^pixel_attention_mask$|^pixel_mask$/, '1 where an image is, 0 where it is padded'],
  [/^input_features$/, 'features of sound (log-mel), as the feature extractor makes them'],
  [/^input_values$/, 'samples of sound, as the feature extractor makes them'],
  [/^encoder_hidden_states$|^encoder_outputs/, 'the output of the encoder'],
  [/^use_cache_branch$/, 'true if the cache holds earlier tokens, false in the first call'],
  [/^num_logits_to_keep$/, 'for how many of the last tokens logits are wanted; 0: for all'],
  [/^past/, 'keys and values of earlier tokens: the outputs of the call before; of length 0 in the first call'],
  [/^present/, 'keys and values for the next call'],
  [/^logits$/, 'a score for each class or token, before softmax'],
  [/^last_hidden_state$|^token_embeddings$/, 'a vector for each token or patch'],
  [/^pooler_output$|^sentence_embedding$/, 'one vector for the whole input'],
  [/_features$/, 'a vector for each piece of the image or sound'],
  [/^hidden_states/, 'vectors between layers'],
  [/^attentions|^cross_attentions/, 'weights of attention'],
];
function meaning(name, file) {
  const text = meanings.find(([pattern]) => pattern.test(name))?.[1] ?? '';
  const has_past = file.graph.inputs.some((input) => input.name.startsWith('past'));
  return name === 'attention_mask' && has_past ? `${text}: for the tokens in the cache, then for the new ones` : text;
}

const dtype_texts = { int64: 'whole numbers of 64 bits', int32: 'whole numbers of 32 bits',
  float32: 'numbers of 32 bits',
  float16: 'numbers of 16 bits', bfloat16: 'numbers of 16 bits', bool: 'true or false' };

function Tensors({ title, file, values, from, narrow }) {
  const groups = grouped_tensors(values);
  if (narrow) {
    return html`<h4>${title}</h4><ul class="tensors">${groups.map((group) => html`<li><${Path}>${group.name}<//>
      ${group.count > 1 ? html` <span class="muted">${group.count} tensors</span>` : ''}
      <div class="type"><${Path}>${group.type}<//></div><div>${meaning(group.first.name,
        file)}${from(group.first.name)}</div></li>`)}</ul>`;
  }
  return html`<h4>${title}</h4><${Table} label=${title} heads=${['Name', 'dtype', 'Axes', 'Meaning']}
    rows=${groups.map((group) => [html`<${Path}>${group.name}<//>${group.count > 1
      ? html` <span class="muted">${group.count} tensors</span>` : ''}`,
    html`<span title=${dtype_texts[group.first.dtype] ?? ''}>${group.first.dtype}</span>`,
    html`<${Path}>${`[${group.first.shape.join(', ')}]`}<//>`,
    html`${meaning(group.first.name, file)}${from(group.first.name)}`])} />`;
}

function Interface() {
  // Variants may have other dtypes.
  const signature = (file) => JSON.stringify([file.graph.inputs, file.graph.outputs]);
  const in_order = [...components].sort((a, b) => merged_parts.has(a.name) - merged_parts.has(b.name));
  const choices = once('interfaces', () => in_order.flatMap((component) =>
    [...group_by(component.files, signature).values()]
    .map((files) => ({ name: component.name, files, text: files.length === component.files.length ? component.name
      : `${component.name}: ${files.map((file) => file.file).join(', ')}` }))));
  const [index, set_index] = useState('0');
  const [ref, width] = useWidth(800);
  const one = choices[Number(index)];
  const { name } = one;
  const file = one.files[0];
  const axes = new Set();
  for (const value of [...file.graph.inputs, ...file.graph.outputs])
    value.shape.forEach((axis) => /^\d+$/.test(axis) || axes.add(axis));
  const partner = (is, at) => (tensor) => {
    const end = at === 1 ? 'from' : 'to';
    const [link] = data.links.filter((one_link) => one_link[is] === name
      && one_link.tensors.some((pair) => pair[at] === tensor))
      .sort((a, b) => merged_parts.has(a[end]) - merged_parts.has(b[end]));
    if (!link) return '';
    const other = link[end];
    const from_or_to = link.tensors.find((pair) => pair[at] === tensor)[1 - at];
    return html` <span class="muted">${at === 1 ? 'from' : 'to'} <${Path}>${from_or_to}<//> of ${other === name
      ? (at === 1 ? 'the call before' : 'the next call') : html`<${Path}>${other}<//>`}</span>`;
  };
  return html`<div ref=${ref}><${Choice} label="Component" value=${index}
    options=${choices.map((choice, i) => [String(i), choice.text])} on_change=${set_index} />
    <h3><${Path}>${name}<//>${one.files.length > 1 ? html` <span class="muted">the same
      in ${plural(one.files.length, 'file')}: ${one.files.map((f) => f.file).join(', ')}</span>` : ''}</h3>
    <${Tensors} title="You feed" file=${file} values=${file.graph.inputs} from=${partner('to', 1)}
      narrow=${width < 560} />
    <${Tensors} title="You get" file=${file} values=${file.graph.outputs} from=${partner('from', 0)}
      narrow=${width < 560} />
    ${axes.size > 0 && html`<p>Names in the axes (${listed([...axes], as_code)}) are free: any
      length, but the same name is the same length in one call. Numbers are fixed.</p>`}</div>`;
}
