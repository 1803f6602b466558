"""What searching refuses."""

from library_server.errors import Unavailable


class SearchTookTooLong(Unavailable):
    """The words are in too many items to be counted in time; a narrower search may be answered at once."""

    message = "This search takes too long. Please use more words, or rarer ones."
