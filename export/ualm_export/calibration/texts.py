"""Texts in several styles and languages for the calibration of the language model."""

CONVERSATIONS: tuple[tuple[str, str], ...] = (
    ("What is the difference between weather and climate?",
     "Weather is what the sky does today: rain at noon, wind in the evening. Climate is the average of all such days over "
     "thirty years or more, and it changes far more slowly."),
    ("Write a short poem about an old lighthouse.",
     "The lamp has turned for ninety years,\nthe stairs are worn, the paint is thin;\nit counts the ships, it hears their "
     "fears,\nand nightly calls the last one in."),
    ("How do I boil an egg?",
     "1. Bring a small pot of water to the boil.\n2. Lower the egg in with a spoon.\n3. Wait six minutes for a soft yolk, ten "
     "for a hard one.\n4. Cool it under cold water, then peel it."),
    ("Add 1,278 and 3,945, then divide by 7.", "1,278 + 3,945 = 5,223, and 5,223 / 7 = 746.142857…"),
    ("Show me a Python function that counts the words of a file.",
     "def count_words(path: str) -> int:\n    with open(path, encoding=\"utf-8\") as file:\n        return "
     "sum(len(line.split()) for line in file)\n"),
    ("Was ist ein Stimmton, und wozu braucht ihn ein Orchester?",
     "Der Stimmton ist das eingestrichene a, meist mit 440 bis 443 Hertz. Alle Instrumente stimmen danach, damit sie zusammen "
     "sauber klingen; die Oboe gibt ihn vor."),
    ("Pourquoi la mer est-elle salée ?",
     "Les pluies dissolvent les sels des roches, les fleuves les portent à la mer, et l'eau qui s'évapore les y laisse. Au fil "
     "des millions d'années, la mer est devenue salée."),
    ("¿Qué se oye en un mercado por la mañana?",
     "Se oyen las voces de los vendedores, las ruedas de los carros, el agua sobre el hielo y, a lo lejos, una campana."),
    ("请用一句话介绍一下长城。", "长城是中国古代的防御工程，绵延两万多公里，今天是世界上最著名的古迹之一。"),
    ("雨の日に何をしますか。", "雨の日は、家で本を読んだり、音楽を聞いたりします。夕方に雨が止んだら、少し散歩します。"),
    ("Опиши зимний лес.", "Снег лежит на ветвях, всё тихо, только дятел стучит вдалеке и под ногами скрипит мороз."),
    ("Summarize: the board met on 14 March 2019, approved the budget of $2.4 million, and postponed the vote on the new hall.",
     "On 14 March 2019 the board approved a $2.4 million budget; the vote on the new hall was put off."),
)  # fmt: skip
"""Questions and their answers."""

CAPTIONS = (
    "A dog barks twice while heavy rain falls on a tin roof, and thunder rolls far away.",
    "Slow piano chords with a warm cello above them; a door closes softly at the end.",
    "Traffic on a wet street, a siren that comes closer, people talking and laughing.",
    "A small bell rings, a cat meows, and a rooster crows in the distance.",
)
"""Descriptions of sounds to make."""

SPEECH = (
    "Good morning, and thank you for waiting. The train to the harbour leaves from platform four at nine fifteen.",
    "She had never seen so many stars, and for a while she forgot how cold it was.",
    "One, two, three, four, five. Please repeat the last three numbers after the tone.",
    "Why did nobody tell me? I would have come at once!",
)
"""Texts to speak."""

QUESTIONS = ("What do you hear?", "Describe the sound in one sentence.", "Transcribe the speech.", "Is there music in it, or noise?")
"""Questions about a sound."""
