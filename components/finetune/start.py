"""Where training starts: a checkpoint from the hub or a folder, or a small model from scratch."""

import torch
from pydantic import Field
from transformers import PreTrainedTokenizerBase, SiglipConfig

from components.contract import Config
from components.finetune.tokens import train_tokenizer
from components.siglip import Encoder, from_scratch, load_encoder, load_tokenizer

SCRATCH = "scratch"


class ScratchConfig(Config):
    """The shape of a model trained from nothing. Each of stem_widths halves the picture's side."""

    image_px: int = Field(ge=16)
    hidden: int = Field(gt=0)
    heads: int = Field(gt=0)
    image_layers: int = Field(ge=1)
    text_layers: int = Field(ge=1)
    stem_widths: list[int] = Field(min_length=1)
    vocab_size: int = Field(ge=300)
    max_tokens: int = Field(ge=4)


def start_model(start: str, scratch: ScratchConfig, titles: list[str], seed: int) -> tuple[Encoder, PreTrainedTokenizerBase]:
    """The untrained model and its tokenizer. `titles` are those of the train side; only a start from scratch reads them.

    Raises BadParams where `start` is neither "scratch" nor a SigLIP checkpoint that can be loaded.
    """
    if start != SCRATCH:
        return load_encoder(start), load_tokenizer(start)
    torch.manual_seed(seed)
    tokenizer = train_tokenizer(titles, scratch.vocab_size)
    return from_scratch(_siglip_config(scratch, tokenizer)), tokenizer


def _siglip_config(scratch: ScratchConfig, tokenizer: PreTrainedTokenizerBase) -> SiglipConfig:
    shared = {"hidden_size": scratch.hidden, "intermediate_size": 2 * scratch.hidden, "num_attention_heads": scratch.heads}
    end = tokenizer.eos_token_id
    text = shared | {
        "num_hidden_layers": scratch.text_layers,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": scratch.max_tokens,
        "projection_size": scratch.hidden,
        "pad_token_id": end,
        "bos_token_id": end,
        "eos_token_id": end,
    }
    vision = shared | {
        "num_hidden_layers": scratch.image_layers,
        "image_size": scratch.image_px,
        "patch_size": 2 ** len(scratch.stem_widths),
        "conv_stem": scratch.stem_widths,
    }
    return SiglipConfig(text_config=text, vision_config=vision)
