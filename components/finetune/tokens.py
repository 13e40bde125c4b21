"""A tokenizer for a start from scratch: byte-level BPE, so that no title, in any script, has an unknown token."""

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

END = "</s>"


def train_tokenizer(titles: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """A tokenizer fitted on `titles`, which must be those of the train side alone. Text is NFKC and lower case.

    The end token also pads, as in SigLIP, whose text tower pools the last position.
    """
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[END], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    bpe.train_from_iterator(sorted(titles), trainer)
    bpe.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=[(END, bpe.token_to_id(END))])
    return PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token=END, eos_token=END)
