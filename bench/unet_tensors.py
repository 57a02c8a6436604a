"""The tensors of a synthetic UNet of diffusers."""


def unet(c):
    """Keys and shapes of UNet2DConditionModel (diffusers 0.42.1) with linear projections and conditions on sizes."""
    widths, layers, blocks = c["block_out_channels"], c["layers_per_block"], c["transformer_layers_per_block"]
    time, tensors, skips = 4 * widths[0], {}, [widths[0]]

    def add(name, *shape, bias=True):
        tensors[name + ".weight"] = list(shape)
        if bias:
            tensors[name + ".bias"] = [shape[0]]

    def resnet(name, n_in, n_out):
        add(name + ".norm1", n_in)
        add(name + ".conv1", n_out, n_in, 3, 3)
        add(name + ".time_emb_proj", n_out, time)
        add(name + ".norm2", n_out)
        add(name + ".conv2", n_out, n_out, 3, 3)
        if n_in != n_out:
            add(name + ".conv_shortcut", n_out, n_in, 1, 1)

    def transformer(name, h, count):
        add(name + ".norm", h)
        for end in ("proj_in", "proj_out"):
            add(f"{name}.{end}", h, h)
        for n in range(count):
            block = f"{name}.transformer_blocks.{n}"
            for norm in ("norm1", "norm2", "norm3"):
                add(f"{block}.{norm}", h)
            for attention, context in (("attn1", h), ("attn2", c["cross_attention_dim"])):
                add(f"{block}.{attention}.to_q", h, h, bias=False)
                for part in ("to_k", "to_v"):
                    add(f"{block}.{attention}.{part}", h, context, bias=False)
                add(f"{block}.{attention}.to_out.0", h, h)
            add(block + ".ff.net.0.proj", 8 * h, h)
            add(block + ".ff.net.2", h, 4 * h)

    def mlp(name, n_in):
        add(name + ".linear_1", time, n_in)
        add(name + ".linear_2", time, time)

    add("conv_in", widths[0], c["in_channels"], 3, 3)
    mlp("time_embedding", widths[0])
    mlp("add_embedding", c["projection_class_embeddings_input_dim"])
    h = widths[0]
    for i, kind in enumerate(c["down_block_types"]):
        for j in range(layers):
            resnet(f"down_blocks.{i}.resnets.{j}", h, h := widths[i])
            if kind.startswith("CrossAttn"):
                transformer(f"down_blocks.{i}.attentions.{j}", h, blocks[i])
            skips.append(h)
        if i + 1 < len(widths):
            add(f"down_blocks.{i}.downsamplers.0.conv", h, h, 3, 3)
            skips.append(h)
    for j in range(2):
        resnet(f"mid_block.resnets.{j}", h, h)
    transformer("mid_block.attentions.0", h, blocks[-1])
    for i, kind in enumerate(c["up_block_types"]):
        level = len(widths) - 1 - i
        for j in range(layers + 1):
            resnet(f"up_blocks.{i}.resnets.{j}", h + skips.pop(), h := widths[level])
            if kind.startswith("CrossAttn"):
                transformer(f"up_blocks.{i}.attentions.{j}", h, blocks[level])
        if level:
            add(f"up_blocks.{i}.upsamplers.0.conv", h, h, 3, 3)
    add("conv_norm_out", widths[0])
    add("conv_out", c["out_channels"], widths[0], 3, 3)
    return tensors
