"""A GGUF file as a Hugging Face directory."""

from pathlib import Path

from preceptor.errors import InputError
from preceptor.files import directory_atomic
from preceptor.models.build import MisfitError, assemble
from preceptor.models.checkpoint import write_model
from preceptor.models.gguf.file import GGUFFile
from preceptor.models.gguf.shape import gguf_pieces, read_shape
from preceptor.models.gguf.tokenizer import write_tokenizer


def convert_gguf(path: Path, directory: Path) -> None:
    """Write the model in ``path``, in float32, with its tokenizer and chat template; all of it or nothing.

    Raises :class:`InputError` for a file that is torn, of an unknown architecture or tokenizer, or quantised in a
    way that cannot be read.
    """
    file = GGUFFile(path)
    config = read_shape(file)
    pieces = gguf_pieces(config, file)
    with directory_atomic(directory) as partial:
        write_tokenizer(file, partial)
        try:
            model = assemble(config, pieces, file.__getitem__)
        except KeyError as error:
            raise InputError(f"{path}: lacks the tensor {error}; use a file of a whole model") from None
        except MisfitError as error:
            raise InputError(f"{path}: its tensors do not fit its metadata ({error})") from None
        write_model(model, partial)
