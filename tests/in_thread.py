"""A served model whose engine works in a thread of the test's process, where the test can reach it."""

from multiprocessing import Pipe
from threading import Thread

from preceptor.models.transformer import Transformer
from preceptor.serving.beside import write
from preceptor.serving.worker import Worker
from preceptor.serving.writer import Writer
from preceptor.text.tokenizer import Tokenizer


class ThreadWorker(Worker):
    """Over a pipe all the same. ``engine`` is what the thread steps."""

    def __init__(self, model: Transformer, tokenizer: Tokenizer, *, slots: int = 64, waiting: int = 64) -> None:
        ours, theirs = Pipe()
        writer = Writer(model, tokenizer, slots=slots)
        thread = Thread(target=write, args=(writer, theirs), name="engine", daemon=True)
        thread.start()
        super().__init__(ours, thread, tokenizer, waiting=waiting)
        self.engine = writer.engine
