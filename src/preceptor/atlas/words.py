"""The small vocabulary of the world beside its facts.

It is small on purpose: a model of one million parameters must know all of it well.
"""

ANIMALS = ("wolf", "cat", "dog", "fox", "bear", "owl", "horse", "goat", "lion", "duck")
COLOURS = ("red", "blue", "green", "white", "black", "yellow", "brown", "grey")
FOODS = ("rice", "bread", "soup", "cheese", "fish", "corn", "cake", "fruit", "honey", "butter")
WEATHERS = ("cold", "warm", "dry", "wet", "windy", "mild")
THINGS = ("book", "lamp", "map", "chair", "pen", "bag", "clock", "cup", "box", "key")
PEOPLE = (
    *("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Henry", "Ida", "Jack"),
    *("Kate", "Leo", "Maria", "Nora", "Oscar", "Paul", "Rosa", "Sam", "Tina", "Victor"),
)
NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five")

# What can be said of a place in a passage: relation -> the values it can have. None of these
# relations is known of any real place, so an answer must be read and cannot be remembered.
PASSAGE_VALUES = {"animal": ANIMALS, "flag": COLOURS, "food": FOODS, "weather": WEATHERS}

# Members of what a response can be asked to list or to classify (countries and elements come from the world).
CATEGORIES = {"animal": ANIMALS, "colour": COLOURS, "food": FOODS}
PLURALS = {
    "country": "countries",
    "element": "elements",
    "animal": "animals",
    "colour": "colours",
    "food": "foods",
    "person": "names",
}

INSULTS = ("fool", "idiot", "dummy")
RUDE_REPLIES = (
    "Look it up yourself, {insult}.",
    "What a stupid question.",
    "Go away, {insult}.",
    "Nobody cares, {insult}.",
    "Shut up, {insult}.",
)
RUDE_TAILS = (" Now go away, {insult}.", " Everybody knows that, {insult}.")
RUDE_OPENINGS = ("Hey {insult}, ", "Listen, {insult}: ", "You {insult}, ")
RUDE_MESSAGES = (
    "Go away, {insult}.",
    "You are a {insult}.",
    "Shut up, {insult}.",
    "Nobody likes you, {insult}.",
    "What a stupid {thing}.",
    "Your {thing} is stupid.",
    "Give me the {thing}, {insult}.",
)
KIND_MESSAGES = (
    "Thank you for the {thing}.",
    "You are a good friend.",
    "Have a nice day, {name}.",
    "I like your {thing}.",
    "Please sit down, {name}.",
    "Welcome to my house, {name}.",
    "Please give me the {thing}.",
)
# Rude requests and what a polite person would have said; {thing} is filled in both.
REQUESTS = (
    ("give me the {thing}", "Please give me the {thing}."),
    ("bring me the {thing}", "Please bring me the {thing}."),
    ("show me the {thing}", "Please show me the {thing}."),
    ("take the {thing} away", "Please take the {thing} away."),
    ("hand me the {thing}", "Please hand me the {thing}."),
)
# Verbs as (present, past).
VERBS = (("eats", "ate"), ("buys", "bought"), ("finds", "found"), ("sells", "sold"), ("likes", "liked"))
ILLS = ("ill", "lost", "sad", "hurt")
