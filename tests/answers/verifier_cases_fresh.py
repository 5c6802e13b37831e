"""More golden cases of the verifier: what was wrong when it first met pairs that it had not seen.

About 3,700 pairs were written from the conventions alone, the verdict of each before the verifier
was asked. These are the ones that it had wrong, with a counterpart of the other verdict for each
rule that they led to. The format is that of `verifier_cases`.
"""

RIGHT = r"""
# fresh: numbers and constants
\frac{1}{2} | {1 \over 2}
25 | \text{The answer is } 25
25 | The answer is 25
3.14 | \approx 3.14
5 | x \approx 5
10 | → 10
10 | 10 ✓
10 | __10__
10 | 10 \\
10 | \ensuremath{10}
10 | \mathbf{\text{10}}
10 | \mathbf{10}
5 | \mathbf{5}
7 | Seven
13 | thirteen
10^{6} | one million
6 - 5i | 6 - 5I
1+2i | 1 + 2*I
2i | 2\mathrm{i}
# fresh: functions
6 | \gcd(12,18)
36 | \operatorname{lcm}(12,18)
5 | \max(3,5)
120 | 10 choose 3
120 | C(10,3)
2 | log_10(100)
2 | log10(100)
3 | log2(8)
2^{1/3} | cuberoot(2)
\frac{\sqrt{3}}{2} | \sin{60^\circ}
\frac{\sqrt{3}}{4} | \frac{\sin{60^\circ}}{2}
\Delta | Δ
# fresh: names and equations
12 | |AB| = 12
5 | |z| = 5
2x | f'(x) = 2x
2x | \frac{dy}{dx} = 2x
x=y | y=x
x = (y-3)/2 | y = 2x+3
(1,2) | \begin{cases} x = 1 \\ y = 2 \end{cases}
(1,2),(3,4) | x=1,y=2 or x=3,y=4
# fresh: intervals and sets
-1 < x < 1 | |x| < 1
(-\infty,-1)\cup(1,\infty) | |x|>1
(-\infty,-1]\cup[1,\infty) | 1 \le |x|
\{1, 2\} | \{1,2,2\}
# fresh: units, money, time
18 | USD 18
\$3.50 | US$3.50
£5 | 5 pounds
22 \text{ inches} | 22"
45 \text{ seconds} | 45 sec
36 \text{ square feet} | 36 sq. ft.
0.75 | 3/4 of an hour
6 | 6 more
\text{1 hour 30 minutes} | 1 hour and 30 minutes
5 feet 6 inches | 5 ft 6 in
\text{7:00 PM} | 7 PM
# fresh: bases
52_8 | 52_{(8)}
52_8 | 52 base 8
52_8 | 52_{\text{8}}
2516_8 | (2516)_8
2516_8 | 2516 (base 8)
2516_8 | 2516_{base 8}
4A_{16} | 4a_{16}
\text{DE}_{16} | DE_{16}
204_5 | 204_{five}
# fresh: words
(C) | c
(C) | (c)
B | choice (B)
\text{(E)} | \mathbf{E}
\text{Saturday} | It is Saturday
\text{Ann and Bob} | Bob and Ann
\text{Ann and Bob} | Ann, Bob
# a stated sum
17 | m+n = 17
116 | m+n=115+1=116
371 | 371 = m+n
# a choice with its text
\textbf{(D)}\ 56 | D
\textbf{(D)}\ 56 | \text{(D)}
\textbf{(D)}\ 56 | 56
# fresh: sums written out, cases
55 | \sum_{k=1}^{10}k
24 | \prod_{i=1}^{4} i
x+x^2 | \sum_{k=1}^{2} x^k
\frac{1}{2}mv^2 | m v^2 / 2
\begin{cases}x&x\ge 0\\-x&x<0\end{cases} | \begin{cases} -x, & \text{if } x<0 \\ x, & x \geq 0\end{cases}
f(x)=\begin{cases}x&x\ge 0\\-x&x<0\end{cases} | f(x) = \begin{cases}x&x \geq 0\\ -x & x < 0\end{cases}
"""

WRONG = r"""
# fresh: numbers and constants
10 | 1\,0
25 | The answer is 52
2+I | 2-i
i | I
\frac{1}{2} | {2 \over 1}
# fresh: functions
6 | \gcd(12,19)
120 | C(10,4)
3 | log3(8)
\ln|x| | \ln x
\ln 5x | \ln|5x|
# fresh: names and equations
7 | |x| = 7
12 | |AB| = 13
2x | \frac{dy}{dx} = 2x + 1
x = (y-3)/2 | y = 2x-3
y = 2x+3 | x = 2y+3
(1,2) | \begin{cases} x = 2 \\ y = 1 \end{cases}
(1,2),(3,4) | x=1,y=4 or x=3,y=2
# a stated sum
x+y=3 | 3
16 | m+n = 17
116 | m+n=115+2=117
# fresh: intervals and sets
-1 < x < 1 | |x| > 1
-1 < x < 1 | |x| \le 1
(3,\infty) | (3,\infty]
[0,\pi) | [0,3.14159265358979)
x \ge \sqrt{2} | x \ge 1.41421356237309505
(-\infty,-2] | [-\infty,-2]
\{1, 2\} | \{1,1\}
1, 2 | 1, 2, 2
# fresh: units, money, time
£5 | \$5
\$3.50 | €3.50
45 \text{ seconds} | 45 min
6 | 6 or more
5 feet 6 inches | 5 feet 7 inches
5 feet 6 inches | 5 feet
\text{7:00 PM} | 7 AM
\text{7:30 PM} | 7 PM
# fresh: bases
52_8 | 52 base 9
4A_{16} | 4B_{16}
58 | 58_8
5 | 5_1
# fresh: words
(C) | d
\text{Ann and Bob} | Ann or Bob
\text{Ann and Bob} | Ann
\text{Ann} | Ann and Bob
Saturday | It is Sunday
\textbf{(D)}\ 56 | \textbf{(C)}\ 56
\textbf{(D)}\ 56 | C
# fresh: sums written out, cases
55 | \sum_{k=1}^{9}k
24 | \prod_{i=0}^{4} i
2 | \sum_{k=1}^{n} k
\begin{cases} x & x\ge 0 \\ -x & x<0 \end{cases} | \begin{cases} x & x<0 \\ -x & x\ge 0 \end{cases}
\begin{cases} x & x\ge 0 \\ -x & x<0 \end{cases} | \begin{cases} x & x\ge 1 \\ -x & x<1 \end{cases}
"""
